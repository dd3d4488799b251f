-- Partitions, third edition: of history, of logs, and of maps.
CREATE FUNCTION engine_partitions_3(ahead int) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
  parent text;
  part text;
  this_month timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
  low timestamptz;
  high timestamptz;
  made int := 0;
  mine text := '(SELECT NULLIF(current_setting(''app.tenant'', true), '''')::uuid)';
BEGIN
  FOREACH parent IN ARRAY ARRAY['run_event', 'run_log', 'map_chunk', 'map_item'] LOOP
    FOR n IN 0 .. ahead + 1 LOOP
      low := (this_month + (n - 1) * interval '1 month') AT TIME ZONE 'UTC';
      high := (this_month + n * interval '1 month') AT TIME ZONE 'UTC';
      part := parent || to_char(low AT TIME ZONE 'UTC', '"_"YYYY"_"MM');
      CONTINUE WHEN to_regclass(part) IS NOT NULL;
      EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
        part, parent, engine_uuid_floor_1(low), engine_uuid_floor_1(high));
      EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
      EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', part);
      EXECUTE format('CREATE POLICY %I ON %I USING (tenant_id = %s) WITH CHECK (tenant_id = %s)',
        part || '_tenant', part, mine, mine);
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;
SELECT engine_partitions_3(12);
