-- Places behind a key's gate, for steps in the items of a map too. A holder counts while its run has
-- its item or its step is a task; inside a chunk, while that chunk has not come home.
CREATE FUNCTION engine_key_counts_5(p_run uuid, p_path text, p_item bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM work_item w WHERE w.run_id = p_run AND CASE
    WHEN p_item IS NULL THEN w.kind = 'run' OR w.path = p_path ELSE w.id = p_item END)
$$;

CREATE FUNCTION engine_enter_5(
  p_tenant uuid, p_gate uuid, p_run uuid, p_path text, p_most int, p_item bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true),
          pg_advisory_xact_lock(hashtextextended(p_tenant::text || p_gate::text, 2));
  PERFORM FROM key_holder
    WHERE tenant_id = p_tenant AND gate = p_gate AND run_id = p_run AND path = p_path;
  IF NOT FOUND THEN
    DELETE FROM key_holder h
     WHERE h.tenant_id = p_tenant AND h.gate = p_gate
       AND NOT engine_key_counts_5(h.run_id, h.path, h.item_id);
    IF (SELECT count(*) FROM key_holder WHERE tenant_id = p_tenant AND gate = p_gate) >= p_most THEN
      INSERT INTO key_wait (tenant_id, run_id, path, most)
        VALUES (p_tenant, p_run, p_path, p_most)
        ON CONFLICT ON CONSTRAINT key_wait_pkey
        DO UPDATE SET most = EXCLUDED.most, at = clock_timestamp();
      RETURN false;
    END IF;
    INSERT INTO key_holder (tenant_id, gate, run_id, path, item_id)
      VALUES (p_tenant, p_gate, p_run, p_path, p_item);
  END IF;
  DELETE FROM key_wait WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path;
  RETURN true;
END $$;

-- Mended for workers of the release before: the places of chunks count for them too.
CREATE OR REPLACE FUNCTION engine_enter_3(
  p_tenant uuid, p_gate uuid, p_run uuid, p_path text, p_most int
) RETURNS boolean
LANGUAGE sql AS $$
  SELECT engine_enter_5(p_tenant, p_gate, p_run, p_path, p_most, NULL)
$$;
