-- usable-from: 0006
-- Which service a worker's row is of, so that workers of two services that were given one host id do not report for
-- each other. See 0007, which does so for the hosts.

ALTER TABLE artifact_workers ADD COLUMN journal_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN artifact_workers.host_id IS 'ESS_HOST_ID; of a second service with the same, that, # and the end of its journal''s id';
COMMENT ON COLUMN artifact_workers.journal_id IS 'The service''s journal, which is its own whatever it is called; empty: of a version that did not say';
