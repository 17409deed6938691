-- usable-from: 0006
-- Which service a host's row is of, so that two services that were given one host id do not confirm for each other.

ALTER TABLE control_hosts ADD COLUMN journal_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN control_hosts.host_id IS 'ESS_HOST_ID; of a second service with the same, that, # and the end of its journal''s id';
COMMENT ON COLUMN control_hosts.journal_id IS 'The service''s journal, which is its own whatever it is called; empty: of a version that did not say';

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ess_service') THEN
    GRANT UPDATE (journal_id) ON control_hosts TO ess_service;
  END IF;
END
$$;
