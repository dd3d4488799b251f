-- What has ended long ago goes, fourth edition: with the items and chunks of its maps.

CREATE FUNCTION engine_expire_4(p_tenant uuid, p_before timestamptz, p_most int) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
  gone uuid[];
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT coalesce(array_agg(id), '{}') INTO gone FROM (
    SELECT id FROM run
     WHERE tenant_id = p_tenant AND id < engine_uuid_floor_1(p_before) AND finished_at < p_before
     ORDER BY id LIMIT p_most FOR UPDATE SKIP LOCKED) AS old;
  DELETE FROM run_event WHERE tenant_id = p_tenant AND run_id = ANY (gone);
  DELETE FROM run_log WHERE tenant_id = p_tenant AND run_id = ANY (gone);
  DELETE FROM map_item WHERE tenant_id = p_tenant AND run_id = ANY (gone);
  DELETE FROM map_chunk WHERE tenant_id = p_tenant AND run_id = ANY (gone);
  DELETE FROM run WHERE tenant_id = p_tenant AND id = ANY (gone);
  RETURN cardinality(gone);
END $$;

-- The months of history, logs and maps: name, first instant, first instant behind it.
CREATE FUNCTION engine_months_4() RETURNS TABLE (part text, low timestamptz, high timestamptz)
LANGUAGE sql STABLE AS $$
  SELECT c.relname::text, m.low AT TIME ZONE 'UTC',
         (m.low + interval '1 month') AT TIME ZONE 'UTC'
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
         LATERAL (SELECT to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp AS low) m
   WHERE i.inhparent IN ('run_event'::regclass, 'run_log'::regclass, 'map_item'::regclass,
                         'map_chunk'::regclass)
   ORDER BY 2, 1
$$;
