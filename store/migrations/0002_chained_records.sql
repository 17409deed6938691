-- Every record of every journal, chained, partitioned by week, append-only; the outbox; and the role of the service.
--
-- What is hashed stands in columns that lose nothing (`json` keeps its text), so that a payload can be made again from
-- its row and the chain of hashes checked: store/payload.py, store/rows/, store/audit.py. docs/adr/0011 says why.

-- --------------------------------------------------------------------------------------------------------------------
-- Tables

ALTER TABLE strategy_selections RENAME TO strategy_selections_before;
ALTER TABLE strategy_selections_before RENAME CONSTRAINT strategy_selections_pkey TO strategy_selections_before_pkey;
ALTER INDEX strategy_selections_order_id RENAME TO strategy_selections_before_order_id;
ALTER INDEX strategy_selections_created_at RENAME TO strategy_selections_before_created_at;

CREATE TABLE strategy_selections (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  order_id varchar(100) NOT NULL,
  strategy_name varchar(100) NOT NULL,
  selection_rationale text,
  market_conditions json,
  expected_outcomes json,
  actual_outcomes jsonb,
  performance_score double precision,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_at_ns bigint NOT NULL,
  instrument_id text NOT NULL,
  side text NOT NULL,
  quantity double precision NOT NULL,
  objective text NOT NULL,
  urgency text NOT NULL,
  algorithm text NOT NULL,
  confidence double precision NOT NULL,
  parameters json NOT NULL,
  venue_allocation json NOT NULL,
  versions json NOT NULL,
  tags json NOT NULL DEFAULT '{}',
  gateway text NOT NULL DEFAULT '',
  request_hash text NOT NULL,
  request bytea NOT NULL,
  response bytea NOT NULL,
  inputs bytea NOT NULL DEFAULT '',
  payload_version smallint NOT NULL DEFAULT 1,
  journal_id text,
  sequence bigint,
  chain_hash bytea,
  host_id text NOT NULL DEFAULT '',
  status text NOT NULL DEFAULT 'RECORDED' CHECK (status IN ('RECORDED', 'CONFLICTED')),
  inserted_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((journal_id IS NULL) = (sequence IS NULL) AND (journal_id IS NULL) = (chain_hash IS NULL)),
  PRIMARY KEY (id, created_at),
  UNIQUE (journal_id, sequence, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX strategy_selections_order_id ON strategy_selections (order_id, created_at);
CREATE INDEX strategy_selections_created_at ON strategy_selections (created_at);
COMMENT ON TABLE strategy_selections IS 'Every decision, written once';
COMMENT ON COLUMN strategy_selections.id IS 'Fixed by the service before anything is stored, so that writing twice changes nothing';
COMMENT ON COLUMN strategy_selections.expected_outcomes IS 'estimated_cost and market_impact: fraction of notional; estimated_time_minutes: minutes; completion_probability and risk_score: 0 to 1';
COMMENT ON COLUMN strategy_selections.actual_outcomes IS 'NULL until the outcome is reported, and set once; same units as expected_outcomes; outside the hash';
COMMENT ON COLUMN strategy_selections.performance_score IS '0 to 1; NULL until the outcome is reported, and set once; outside the hash';
COMMENT ON COLUMN strategy_selections.created_at IS 'When the decision was made, in microseconds; created_at_ns is exact';
COMMENT ON COLUMN strategy_selections.created_at_ns IS 'Nanoseconds since the Unix epoch (UTC)';
COMMENT ON COLUMN strategy_selections.quantity IS 'Shares, or the unit of the instrument';
COMMENT ON COLUMN strategy_selections.confidence IS '0 to 1';
COMMENT ON COLUMN strategy_selections.venue_allocation IS 'Fraction of the quantity per venue (ISO 10383 MIC), sums to 1';
COMMENT ON COLUMN strategy_selections.versions IS 'Versions and hashes of engine, snapshot and artifacts that decided';
COMMENT ON COLUMN strategy_selections.request_hash IS 'SHA-256 (hex) of the content of the request';
COMMENT ON COLUMN strategy_selections.request IS 'The canonical bytes of the request message';
COMMENT ON COLUMN strategy_selections.response IS 'The canonical bytes of the response message';
COMMENT ON COLUMN strategy_selections.inputs IS 'What a replay needs beside request, reference data and artifacts';
COMMENT ON COLUMN strategy_selections.payload_version IS 'Of the hashed bytes that the row stands for';
COMMENT ON COLUMN strategy_selections.journal_id IS 'Which journal the record came from; NULL: from before there was one';
COMMENT ON COLUMN strategy_selections.sequence IS 'Its place in the journal, from 1, without gaps';
COMMENT ON COLUMN strategy_selections.chain_hash IS 'SHA-256 over the hash before it, sequence, kind and payload';
COMMENT ON COLUMN strategy_selections.host_id IS 'Which host decided; outside the hash';
COMMENT ON COLUMN strategy_selections.status IS 'CONFLICTED: another host had decided this order before; outside the hash';
COMMENT ON COLUMN strategy_selections.inserted_at IS 'When the row reached this database; outside the hash';

CREATE TABLE order_updates (
  id uuid NOT NULL,
  order_id varchar(100) NOT NULL,
  update_sequence bigint NOT NULL,
  created_at timestamptz NOT NULL,
  created_at_ns bigint NOT NULL,
  kind text NOT NULL,
  request bytea NOT NULL,
  gateway text NOT NULL,
  payload_version smallint NOT NULL,
  journal_id text NOT NULL,
  sequence bigint NOT NULL,
  chain_hash bytea NOT NULL,
  host_id text NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, created_at),
  UNIQUE (journal_id, sequence, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX order_updates_order_id ON order_updates (order_id, update_sequence);
CREATE INDEX order_updates_created_at ON order_updates (created_at);
COMMENT ON TABLE order_updates IS 'Every accepted update of an open order';
COMMENT ON COLUMN order_updates.update_sequence IS 'Counts the updates of the order from 1';
COMMENT ON COLUMN order_updates.request IS 'The canonical bytes of the update';

CREATE TABLE adaptations (
  id uuid NOT NULL,
  order_id varchar(100) NOT NULL,
  selection_id uuid,
  advice_number bigint NOT NULL,
  created_at timestamptz NOT NULL,
  created_at_ns bigint NOT NULL,
  action text NOT NULL,
  trigger text NOT NULL,
  rationale text NOT NULL,
  expected_gain_bps double precision NOT NULL,
  response bytea NOT NULL,
  inputs bytea NOT NULL,
  payload_version smallint NOT NULL,
  journal_id text NOT NULL,
  sequence bigint NOT NULL,
  chain_hash bytea NOT NULL,
  host_id text NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, created_at),
  UNIQUE (journal_id, sequence, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX adaptations_order_id ON adaptations (order_id, created_at);
CREATE INDEX adaptations_created_at ON adaptations (created_at);
COMMENT ON TABLE adaptations IS 'Every advice for an open order';
COMMENT ON COLUMN adaptations.expected_gain_bps IS 'Of the notional that was left';
COMMENT ON COLUMN adaptations.response IS 'The canonical bytes of what was sent';

CREATE TABLE outcomes (
  id uuid NOT NULL,
  order_id varchar(100) NOT NULL,
  selection_id uuid,
  created_at timestamptz NOT NULL,
  created_at_ns bigint NOT NULL,
  actual_outcomes json NOT NULL,
  performance_score double precision NOT NULL,
  request bytea NOT NULL,
  payload_version smallint NOT NULL,
  journal_id text NOT NULL,
  sequence bigint NOT NULL,
  chain_hash bytea NOT NULL,
  host_id text NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, created_at),
  UNIQUE (journal_id, sequence, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX outcomes_order_id ON outcomes (order_id, created_at);
CREATE INDEX outcomes_selection_id ON outcomes (selection_id);
CREATE INDEX outcomes_created_at ON outcomes (created_at);
COMMENT ON TABLE outcomes IS 'How orders ended, as reported; the first of a selection also stands in strategy_selections';
COMMENT ON COLUMN outcomes.request IS 'The canonical bytes of the report';

CREATE TABLE operations (
  id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  created_at_ns bigint NOT NULL,
  kind text NOT NULL,
  scope text NOT NULL,
  subject text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  detail json NOT NULL,
  payload_version smallint NOT NULL,
  journal_id text NOT NULL,
  sequence bigint NOT NULL,
  chain_hash bytea NOT NULL,
  host_id text NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, created_at),
  UNIQUE (journal_id, sequence, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX operations_created_at ON operations (created_at);
COMMENT ON TABLE operations IS 'Halts, limit changes, artifact activations, alarms: what people or the service itself did';

CREATE TABLE reference_data (
  id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  created_at_ns bigint NOT NULL,
  kind text NOT NULL,
  sha256 text NOT NULL,
  content bytea NOT NULL,
  payload_version smallint NOT NULL,
  journal_id text NOT NULL,
  sequence bigint NOT NULL,
  chain_hash bytea NOT NULL,
  host_id text NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, created_at),
  UNIQUE (journal_id, sequence, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX reference_data_sha256 ON reference_data (sha256);
CREATE INDEX reference_data_created_at ON reference_data (created_at);
COMMENT ON TABLE reference_data IS 'Data that decisions were made from, under the hash of its content';
COMMENT ON COLUMN reference_data.sha256 IS 'SHA-256 (hex) of the content';

-- The first seven columns are the ones that Debezium's outbox router reads.
CREATE TABLE outbox (
  id uuid NOT NULL,
  aggregatetype text NOT NULL,
  aggregateid text NOT NULL,
  type text NOT NULL,
  payload json NOT NULL,
  created_at timestamptz NOT NULL,
  journal_id text NOT NULL,
  sequence bigint NOT NULL,
  part smallint NOT NULL DEFAULT 0,
  chain_hash bytea NOT NULL,
  PRIMARY KEY (journal_id, sequence, part, created_at)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE outbox IS 'Events on their way out, written in the transaction of what they tell of';
COMMENT ON COLUMN outbox.id IS 'The event id, the same at every delivery';
COMMENT ON COLUMN outbox.payload IS 'The whole event as it is delivered; its text is hashed with the record that it belongs to';
COMMENT ON COLUMN outbox.part IS '0: the event of the record; 1: that the order belongs to another selection';
COMMENT ON COLUMN outbox.chain_hash IS 'The head of the journal at this record, so that heads leave with the events';

CREATE TABLE journals (
  journal_id text PRIMARY KEY,
  host_id text NOT NULL,
  drained_sequence bigint NOT NULL DEFAULT 0,
  drained_hash bytea NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE journals IS 'Up to where this database has each journal; moves in the transaction of the rows';

CREATE TABLE relay_cursors (
  relay text NOT NULL,
  journal_id text NOT NULL REFERENCES journals (journal_id),
  sequence bigint NOT NULL DEFAULT 0,
  part smallint NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (relay, journal_id)
);
COMMENT ON TABLE relay_cursors IS 'The last event of each journal that each relay has delivered';

CREATE TABLE set_aside (
  journal_id text NOT NULL REFERENCES journals (journal_id),
  sequence bigint NOT NULL,
  kind smallint NOT NULL,
  payload bytea NOT NULL,
  reason text NOT NULL,
  chain_hash bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (journal_id, sequence)
);
COMMENT ON TABLE set_aside IS 'Entries that no table takes, whole, so that the chain goes on and somebody can repair them';

CREATE TABLE retired_partitions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  week timestamptz NOT NULL,
  journal_id text NOT NULL,
  first_sequence bigint NOT NULL,
  last_sequence bigint NOT NULL,
  previous_hash bytea NOT NULL,
  last_hash bytea NOT NULL,
  archive jsonb NOT NULL DEFAULT '{}',
  retired_at timestamptz NOT NULL DEFAULT now(),
  retired_by text NOT NULL DEFAULT session_user
);
CREATE INDEX retired_partitions_run ON retired_partitions (journal_id, first_sequence);
COMMENT ON TABLE retired_partitions IS 'Which runs of each journal went with the weeks that `ess retention` took away; every run was checked before';
COMMENT ON COLUMN retired_partitions.week IS 'Monday 00:00 UTC';
COMMENT ON COLUMN retired_partitions.journal_id IS 'Empty: rows from before the journal';
COMMENT ON COLUMN retired_partitions.previous_hash IS 'What the first entry of the run was chained to';
COMMENT ON COLUMN retired_partitions.last_hash IS 'The head at the last entry of the run: from here a later audit goes on';
COMMENT ON COLUMN retired_partitions.archive IS 'Per table the exported file, its SHA-256 and rows';

CREATE TABLE unchained_rows (
  week timestamptz PRIMARY KEY,
  rows bigint NOT NULL,
  digest bytea NOT NULL
);
COMMENT ON TABLE unchained_rows IS 'What strategy_selections held before there was a journal, so that an audit sees edits there too';

-- --------------------------------------------------------------------------------------------------------------------
-- Partitions: one a week (Monday 00:00 UTC) of every table that grows

-- Made beside and attached, since that lets readers and writers of the other partitions go on.
CREATE FUNCTION ess_make_partition(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  week timestamptz := date_trunc('week', moment);
  parent text;
  child text;
  made boolean := false;
BEGIN
  PERFORM pg_advisory_xact_lock(4995142073551834700);
  FOREACH parent IN ARRAY ARRAY['strategy_selections', 'order_updates', 'adaptations', 'outcomes', 'operations',
                                'reference_data', 'outbox'] LOOP
    child := parent || '_p' || to_char(week, 'YYYYMMDD');
    CONTINUE WHEN EXISTS (
      SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
      WHERE inhparent = parent::regclass AND relname = child
    );
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
    -- A trigger on TRUNCATE is not inherited; those on rows come with the attaching.
    EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I EXECUTE FUNCTION ess_refuse()', child);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, week, week + interval '7 days');
    made := true;
  END LOOP;
  RETURN made;
END $$;

-- What the service's role may call: it makes partitions without owning the tables. Bounds keep a wild clock, or
-- whoever got hold of the role, from making thousands.
CREATE FUNCTION ess_make_partitions(weeks_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  made integer := 0;
BEGIN
  IF weeks_ahead NOT BETWEEN 0 AND 104 THEN
    RAISE EXCEPTION 'weeks_ahead is %, not 0 to 104', weeks_ahead USING ERRCODE = 'invalid_parameter_value';
  END IF;
  FOR weeks IN 0 .. weeks_ahead LOOP
    made := made + ess_make_partition(now() + weeks * interval '7 days')::integer;
  END LOOP;
  RETURN made;
END $$;

CREATE FUNCTION ess_make_partition_of(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF moment NOT BETWEEN timestamptz '2015-01-01 00:00:00Z' AND now() + interval '371 days' THEN
    RAISE EXCEPTION 'no partition is made for %: before 2015 or more than a year ahead', moment
      USING ERRCODE = 'datetime_field_overflow';
  END IF;
  RETURN ess_make_partition(moment);
END $$;

CREATE FUNCTION ess_refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: the table is append-only', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END $$;

-- What a function with its owner's rights looks up must not depend on who calls it (pg_catalog comes first unasked).
DO $$
DECLARE
  routine text;
BEGIN
  FOREACH routine IN ARRAY ARRAY['ess_make_partition(timestamptz)', 'ess_make_partitions(integer)',
                                 'ess_make_partition_of(timestamptz)', 'ess_refuse()'] LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', routine, current_schema());
    EXECUTE format('ALTER FUNCTION %s SET timezone = ''UTC''', routine);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', routine);
  END LOOP;
END $$;

-- --------------------------------------------------------------------------------------------------------------------
-- What was there before

SELECT ess_make_partition(week AT TIME ZONE 'UTC')
FROM (SELECT DISTINCT date_trunc('week', created_at AT TIME ZONE 'UTC') AS week FROM strategy_selections_before) AS weeks;
-- The service makes more of them; these are for whoever writes before it does.
SELECT ess_make_partitions(1);

INSERT INTO strategy_selections (
  id, order_id, strategy_name, selection_rationale, market_conditions, expected_outcomes, actual_outcomes,
  performance_score, created_at, created_at_ns, instrument_id, side, quantity, objective, urgency, algorithm, confidence,
  parameters, venue_allocation, versions, tags, gateway, request_hash, request, response, host_id, status, inserted_at
)
SELECT
  id, order_id, strategy_name, selection_rationale, market_conditions::text::json, expected_outcomes::text::json,
  actual_outcomes, performance_score, created_at, created_at_ns, instrument_id, side, quantity, objective, urgency,
  algorithm, confidence, parameters::text::json, venue_allocation::text::json, versions::text::json, tags::text::json,
  gateway, request_hash, request, response, host_id, status, inserted_at
FROM strategy_selections_before;
DROP TABLE strategy_selections_before;

-- store/audit_unchained.py computes the same.
SET LOCAL timezone = 'UTC';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1;
INSERT INTO unchained_rows (week, rows, digest)
SELECT date_trunc('week', created_at), count(*), sha256(string_agg(sha256(convert_to(ROW(
  id, order_id, strategy_name, selection_rationale, market_conditions, expected_outcomes, created_at, created_at_ns,
  instrument_id, side, quantity, objective, urgency, algorithm, confidence, parameters, venue_allocation, versions, tags,
  gateway, request_hash, request, response
)::text, 'UTF8')), '' ORDER BY id, created_at))
FROM strategy_selections WHERE journal_id IS NULL GROUP BY 1;

-- --------------------------------------------------------------------------------------------------------------------
-- Append-only, whoever is connected. A later migration that adds a column to strategy_selections makes
-- `append_only_update` anew.

DO $$
DECLARE
  guarded text;
BEGIN
  FOREACH guarded IN ARRAY ARRAY['strategy_selections', 'order_updates', 'adaptations', 'outcomes', 'operations',
                                 'reference_data', 'outbox', 'set_aside', 'retired_partitions', 'unchained_rows'] LOOP
    EXECUTE format('CREATE TRIGGER append_only_delete BEFORE DELETE ON %I FOR EACH ROW EXECUTE FUNCTION ess_refuse()', guarded);
    EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I EXECUTE FUNCTION ess_refuse()', guarded);
    EXECUTE format(
      'CREATE TRIGGER append_only_update BEFORE UPDATE %s ON %I FOR EACH ROW EXECUTE FUNCTION ess_refuse()',
      CASE guarded WHEN 'strategy_selections' THEN (
        SELECT 'OF ' || string_agg(quote_ident(attname), ', ') FROM pg_attribute
        WHERE attrelid = 'strategy_selections'::regclass AND attnum > 0 AND NOT attisdropped
          AND attname NOT IN ('actual_outcomes', 'performance_score')
      ) ELSE '' END, guarded);
  END LOOP;
END $$;

CREATE TRIGGER set_once BEFORE UPDATE OF actual_outcomes, performance_score ON strategy_selections FOR EACH ROW
  WHEN ((OLD.actual_outcomes IS NOT NULL AND NEW.actual_outcomes IS DISTINCT FROM OLD.actual_outcomes)
    OR (OLD.performance_score IS NOT NULL AND NEW.performance_score IS DISTINCT FROM OLD.performance_score))
  EXECUTE FUNCTION ess_refuse();

CREATE TRIGGER never_back BEFORE UPDATE ON journals FOR EACH ROW
  WHEN (NEW.drained_sequence < OLD.drained_sequence OR NEW.journal_id <> OLD.journal_id)
  EXECUTE FUNCTION ess_refuse();

-- --------------------------------------------------------------------------------------------------------------------
-- The role of the service. Roles belong to the whole server: another database may have made it already, or a managed
-- server may not let this user make it. Then the triggers are the only fence, and the log says so.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ess_service') THEN
    CREATE ROLE ess_service NOLOGIN;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
  WHEN insufficient_privilege THEN
    RAISE WARNING 'the role ess_service could not be made (%): the service runs with the rights of its own user, and '
      'only triggers keep history append-only; make the role and the grants of migration 0002 as an administrator', SQLERRM;
END $$;

DO $$
BEGIN
  IF NOT pg_has_role(current_user, 'ess_service', 'MEMBER') THEN
    EXECUTE format('GRANT ess_service TO %I', current_user);
  END IF;
EXCEPTION
  WHEN undefined_object THEN NULL;
  WHEN insufficient_privilege THEN
    RAISE WARNING '% is no member of ess_service and may not become one (%)', current_user, SQLERRM;
END $$;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ess_service') THEN
    RETURN;
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO ess_service', current_schema());
  GRANT SELECT, INSERT ON strategy_selections, order_updates, adaptations, outcomes, operations, reference_data,
    outbox, orders, journals, relay_cursors, set_aside TO ess_service;
  GRANT UPDATE (actual_outcomes, performance_score) ON strategy_selections TO ess_service;
  GRANT UPDATE (host_id, drained_sequence, drained_hash, updated_at) ON journals TO ess_service;
  GRANT UPDATE (sequence, part, updated_at) ON relay_cursors TO ess_service;
  GRANT SELECT ON schema_migrations, retired_partitions, unchained_rows TO ess_service;
  GRANT SELECT, INSERT, UPDATE ON execution_strategies, strategy_performance, venues, instruments, instrument_market
    TO ess_service;
  GRANT EXECUTE ON FUNCTION ess_make_partitions(integer), ess_make_partition_of(timestamptz) TO ess_service;
END $$;
