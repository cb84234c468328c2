-- The roles that log in, and nothing that PUBLIC may do.
-- Run by the owner of the database (CREATEROLE, not a superuser). On RDS the login is an IAM token
-- (role rds_iam); elsewhere that role does not exist and how to log in is up to pg_hba.conf.

DO $$
DECLARE
    login text;
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database must be encoded in UTF8 (is %): audit records are hashed as UTF-8',
            current_setting('server_encoding');
    END IF;
    FOREACH login IN ARRAY ARRAY['gateway', 'gateway_ingest', 'gateway_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', login);
        END IF;
        -- A role that was made by hand with more rights would void row-level security: refuse it.
        IF EXISTS (
            SELECT FROM pg_roles
            WHERE rolname = login AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
        ) THEN
            RAISE EXCEPTION 'role % must have none of SUPERUSER, BYPASSRLS, CREATEROLE, CREATEDB, REPLICATION', login;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
            EXECUTE format('GRANT rds_iam TO %I', login);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), login);
        -- A forgotten transaction holds locks and old rows: the server ends it.
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''30s''', login);
        EXECUTE format('ALTER ROLE %I SET lock_timeout = ''2s''', login);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

-- RDS lets its master user create it; elsewhere an administrator has to, beforehand. In schema public, where its
-- type is found by all.
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
