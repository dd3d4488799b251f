-- Undoing what the steps of a map's items did.

-- Results with what their steps did, of items that may have to be undone; else as before.
CREATE FUNCTION engine_chunk_record_5(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_token uuid, p_attempt int,
  p_idx int[], p_states text[], p_outputs jsonb[], p_errors jsonb[], p_histories jsonb[], p_writes jsonb, p_soon boolean
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF p_soon THEN
    PERFORM set_config('synchronous_commit', 'off', true);
  END IF;
  PERFORM FROM map_chunk
    WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
      AND token = p_token FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO map_item AS m (tenant_id, run_id, path, idx, attempt, state, output, error, history)
    SELECT p_tenant, p_run, p_path, i.idx, p_attempt, i.state, i.output, i.error, i.history
      FROM unnest(p_idx, p_states, p_outputs, p_errors, p_histories)
           AS i(idx, state, output, error, history)
    ON CONFLICT ON CONSTRAINT map_item_pkey
    DO UPDATE SET attempt = EXCLUDED.attempt, state = EXCLUDED.state, output = EXCLUDED.output,
                  error = EXCLUDED.error, history = EXCLUDED.history
     WHERE m.state <> 'done' AND (m.state = 'begun' OR m.attempt < EXCLUDED.attempt);
  IF p_writes IS NOT NULL THEN
    PERFORM engine_writes_3(p_tenant, p_run, p_writes);
  END IF;
  RETURN true;
END $$;

-- A run that repeats another takes over what its maps have done, and what would have to be undone.
CREATE OR REPLACE FUNCTION engine_map_inherit_3(p_tenant uuid, p_from uuid, p_to uuid, p_paths text[])
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  INSERT INTO map_item (tenant_id, run_id, path, idx, attempt, state, output, history)
    SELECT tenant_id, p_to, path, idx, 0, state, output, history FROM map_item
     WHERE tenant_id = p_tenant AND run_id = p_from AND path = ANY (p_paths) AND state = 'done'
    ON CONFLICT ON CONSTRAINT map_item_pkey DO NOTHING;
END $$;

-- What items of a chunk did that is not undone yet, the last first.
CREATE FUNCTION engine_items_to_undo_5(
  p_tenant uuid, p_run uuid, p_path text, p_low int, p_high int
) RETURNS TABLE (idx int, history jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  RETURN QUERY
    SELECT i.idx, coalesce(i.history, CASE WHEN i.state = 'begun' THEN i.output END) FROM map_item i
     WHERE i.tenant_id = p_tenant AND i.run_id = p_run AND i.path = p_path
       AND i.idx >= p_low AND i.idx < p_high AND NOT i.undone
       AND (i.history IS NOT NULL OR i.state = 'begun')
     ORDER BY i.idx DESC;
END $$;

-- How far an item is undone. False: another worker holds the chunk, nothing was written.
CREATE FUNCTION engine_item_undo_5(
  p_tenant uuid, p_run uuid, p_path text, p_chunk int, p_token uuid, p_idx int, p_history jsonb,
  p_undone boolean, p_writes jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  PERFORM FROM map_chunk
    WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND chunk = p_chunk
      AND token = p_token FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE map_item SET history = coalesce(p_history, history), undone = p_undone
   WHERE tenant_id = p_tenant AND run_id = p_run AND path = p_path AND idx = p_idx;
  IF p_writes IS NOT NULL THEN
    PERFORM engine_writes_3(p_tenant, p_run, p_writes);
  END IF;
  RETURN true;
END $$;
