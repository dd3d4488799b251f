-- One run's few events, and the state that they bring it to: what a strict step pays for.
CREATE FUNCTION engine_append_few_7(
  p_tenant uuid, p_run uuid, p_token uuid, p_head int, p_settled int, p_state text,
  p_type text, p_path text, p_attempt int, p_body jsonb,
  p_type2 text, p_path2 text, p_attempt2 int, p_body2 jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF p_state IS NULL THEN
    UPDATE run SET head = p_head + CASE WHEN p_type2 IS NULL THEN 1 ELSE 2 END,
        settled = settled + p_settled
     WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token AND head = p_head;
  ELSE
    -- Apart: what names the state is looked at by triggers.
    UPDATE run SET head = p_head + CASE WHEN p_type2 IS NULL THEN 1 ELSE 2 END,
        settled = settled + p_settled, state = p_state
     WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token AND head = p_head;
  END IF;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF p_type2 IS NULL THEN
    INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
      VALUES (p_tenant, p_run, p_head + 1, p_type, p_path, p_attempt, p_body);
  ELSE
    INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
      VALUES (p_tenant, p_run, p_head + 1, p_type, p_path, p_attempt, p_body),
             (p_tenant, p_run, p_head + 2, p_type2, p_path2, p_attempt2, p_body2);
  END IF;
  RETURN true;
END $$;

-- The same for several runs of a tenant, each at most once, in the order of their ids: a statement for
-- each costs less than one for all, which would join what is a handful. Answers whose fence held.
CREATE FUNCTION engine_append_many_7(
  p_tenant uuid, p_runs uuid[], p_tokens uuid[], p_heads int[], p_settled int[], p_states text[],
  p_counts int[], p_types text[], p_paths text[], p_attempts int[], p_bodies jsonb[]
) RETURNS uuid[]
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  held uuid[] := '{}';
  done int := 0;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  FOR i IN 1 .. cardinality(p_runs) LOOP
    IF p_states[i] IS NULL THEN
      UPDATE run SET head = p_heads[i] + p_counts[i], settled = settled + p_settled[i]
       WHERE tenant_id = p_tenant AND id = p_runs[i] AND fence = p_tokens[i] AND head = p_heads[i];
    ELSE
      UPDATE run SET head = p_heads[i] + p_counts[i], settled = settled + p_settled[i],
          state = p_states[i]
       WHERE tenant_id = p_tenant AND id = p_runs[i] AND fence = p_tokens[i] AND head = p_heads[i];
    END IF;
    IF FOUND THEN
      held := held || p_runs[i];
      FOR o IN 1 .. p_counts[i] LOOP
        INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
          VALUES (p_tenant, p_runs[i], p_heads[i] + o, p_types[done + o], p_paths[done + o],
                  p_attempts[done + o], p_bodies[done + o]);
      END LOOP;
    END IF;
    done := done + p_counts[i];
  END LOOP;
  RETURN held;
END $$;
