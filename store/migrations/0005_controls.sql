-- Halts and hard limits in force, shared by all hosts, and which host has taken which of their versions. What was done
-- and by whom stays in `operations`, append-only; these rows only say what holds now.

CREATE TABLE control_state (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version bigint NOT NULL DEFAULT 0
);
INSERT INTO control_state DEFAULT VALUES;
COMMENT ON TABLE control_state IS 'One row, which every change of halts or limits locks: versions become visible in order';
COMMENT ON COLUMN control_state.version IS 'Grows by one with every change';

CREATE TABLE halts (
  halt_id uuid PRIMARY KEY,
  scope text NOT NULL CHECK (scope IN ('FIRM', 'DESK', 'INSTRUMENT', 'STRATEGY', 'GATEWAY')),
  subject text NOT NULL,
  reason text NOT NULL,
  actor text NOT NULL,
  created_at_ns bigint NOT NULL,
  resumed_at_ns bigint NOT NULL DEFAULT 0,
  resumed_by text NOT NULL DEFAULT '',
  resume_reason text NOT NULL DEFAULT ''
);
CREATE INDEX halts_open ON halts (created_at_ns) WHERE resumed_at_ns = 0;
COMMENT ON COLUMN halts.subject IS 'Which one: an instrument, an algorithm, a desk, a gateway; empty for the firm';
COMMENT ON COLUMN halts.resumed_at_ns IS 'Nanoseconds since the Unix epoch (UTC); 0 while the halt is in force';

CREATE TABLE hard_limits (
  scope text NOT NULL CHECK (scope IN ('FIRM', 'DESK', 'INSTRUMENT', 'STRATEGY')),
  subject text NOT NULL,
  limits jsonb NOT NULL,
  changed_at_ns bigint NOT NULL,
  operation_id uuid NOT NULL,
  PRIMARY KEY (scope, subject)
);
COMMENT ON COLUMN hard_limits.limits IS 'Quantity in shares, notional in the instrument''s currency, participation a fraction, collar in bps; absent: no such limit';
COMMENT ON COLUMN hard_limits.operation_id IS 'The change in `operations` that set them';

CREATE TABLE control_hosts (
  host_id text PRIMARY KEY,
  confirmed_version bigint NOT NULL,
  renewed_at timestamptz NOT NULL,
  lease_expires_at timestamptz
);
COMMENT ON TABLE control_hosts IS 'Which host has which version in force at all its workers, and until when it may answer without asking again';
COMMENT ON COLUMN control_hosts.lease_expires_at IS 'After it the host answers no new order by itself; NULL where that rule is off';

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ess_service') THEN
    RETURN;
  END IF;
  GRANT SELECT ON control_state, halts, hard_limits, control_hosts TO ess_service;
  GRANT UPDATE (version) ON control_state TO ess_service;
  GRANT INSERT ON halts, hard_limits, control_hosts TO ess_service;
  GRANT UPDATE (resumed_at_ns, resumed_by, resume_reason) ON halts TO ess_service;
  GRANT UPDATE (limits, changed_at_ns, operation_id) ON hard_limits TO ess_service;
  GRANT UPDATE (confirmed_version, renewed_at, lease_expires_at) ON control_hosts TO ess_service;
  GRANT DELETE ON control_hosts TO ess_service;
END
$$;
