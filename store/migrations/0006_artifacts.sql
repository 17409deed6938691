-- Artifacts put in force while services run, and changes of the catalogue that reach every worker at once.
-- What is in force stays in `model_promotions` (0004); here stands what is asked for and how far each worker is.

CREATE TABLE artifact_proposals (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  models_sha256 text NOT NULL,
  shadow boolean NOT NULL DEFAULT false,
  actor text NOT NULL,
  reason text NOT NULL
);
COMMENT ON TABLE artifact_proposals IS 'What workers are asked to load and check; nothing is in force by it';

CREATE TABLE artifact_shadows (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  models_sha256 text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL
);
COMMENT ON TABLE artifact_shadows IS 'Which models are scored beside those that decide; the last row is in force';
COMMENT ON COLUMN artifact_shadows.models_sha256 IS 'Empty: none';

CREATE TABLE artifact_workers (
  host_id text NOT NULL,
  worker_index integer NOT NULL,
  models_sha256 text NOT NULL,
  proposal bigint NOT NULL DEFAULT 0,
  proposal_state text NOT NULL DEFAULT '' CHECK (proposal_state IN ('', 'PREPARED', 'FAILED')),
  failed_number bigint NOT NULL DEFAULT 0,
  reason text NOT NULL DEFAULT '',
  seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (host_id, worker_index)
);
COMMENT ON TABLE artifact_workers IS 'What every worker decides from now, and what became of what it was asked for last';
COMMENT ON COLUMN artifact_workers.models_sha256 IS 'Deciding now; empty without models';
COMMENT ON COLUMN artifact_workers.failed_number IS 'The row of model_promotions that it could not follow; 0: none';

DO $$
DECLARE
  made text;
BEGIN
  FOREACH made IN ARRAY ARRAY['artifact_proposals', 'artifact_shadows'] LOOP
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION ess_refuse()', made);
    EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I EXECUTE FUNCTION ess_refuse()', made);
  END LOOP;
END $$;
CREATE TRIGGER tell AFTER INSERT ON artifact_proposals FOR EACH ROW EXECUTE FUNCTION ess_tell_learning();
CREATE TRIGGER tell AFTER INSERT ON artifact_shadows FOR EACH ROW EXECUTE FUNCTION ess_tell_learning();
CREATE TRIGGER tell AFTER INSERT OR DELETE OR UPDATE ON execution_strategies
  FOR EACH STATEMENT EXECUTE FUNCTION ess_tell_learning();

-- Coordinators listen here, so that the reports of many workers wake no worker.
CREATE FUNCTION ess_tell_artifacts() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('ess_artifacts', TG_TABLE_NAME);
  RETURN NULL;
END $$;
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION ess_tell_artifacts() SET search_path = %I, pg_temp', current_schema());
END $$;
CREATE TRIGGER tell AFTER INSERT OR DELETE OR UPDATE ON artifact_workers
  FOR EACH STATEMENT EXECUTE FUNCTION ess_tell_artifacts();

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ess_service') THEN
    GRANT SELECT, INSERT ON artifact_proposals, artifact_shadows TO ess_service;
    GRANT SELECT, INSERT, UPDATE, DELETE ON artifact_workers TO ess_service;
  END IF;
END $$;
