-- The user of PostgreSQL as whom Grafana reads: the views dashboard_… and nothing else.
--
--   psql "$AMOS_DATABASE_URL" -v ON_ERROR_STOP=1 -f grafana/reader.sql
--   psql "$AMOS_DATABASE_URL" -c '\password grafana'
--
-- Run it as the user AMOS connects as, or as a superuser if that one may not create roles; again after an upgrade that
-- has brought new views. What is there already stays as it is.
--
-- The user does not see what was asked: rankings show the keys of queries. To show their texts on the dashboards too:
--
--   GRANT SELECT ON queries TO grafana;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') THEN
        CREATE ROLE grafana LOGIN;
    END IF;
END
$$;

-- A panel that asks for too much is ended, however many people look at it.
ALTER ROLE grafana CONNECTION LIMIT 20;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';

DO $$
DECLARE
    found record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO grafana', current_schema());
    FOR found IN
        SELECT viewname FROM pg_views WHERE schemaname = current_schema() AND viewname LIKE 'dashboard\_%'
    LOOP
        EXECUTE format('GRANT SELECT ON %I TO grafana', found.viewname);
    END LOOP;
END
$$;
