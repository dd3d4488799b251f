-- Outcomes of the steps p_kept of a run become those of another behind its event p_after, copied in the
-- order in which they came, so that its history stands by itself. p_opened: containers that go on, and how
-- many of their iterations are taken over. Says how many events there are.
CREATE FUNCTION engine_reuse_7(
  p_tenant uuid, p_run uuid, p_after int, p_source uuid, p_until int, p_kept text[], p_opened jsonb
) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
  taken int;
  millis double precision := round(extract(epoch FROM clock_timestamp()) * 1000);
BEGIN
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, p_run, p_after + row_number() OVER (ORDER BY e.seq),
           CASE WHEN e.type IN ('step.skipped', 'step.iterated') THEN e.type ELSE 'step.reused' END,
           e.path, e.attempt,
           CASE WHEN e.type IN ('step.completed', 'step.failed')
                THEN e.body || jsonb_build_object('run', p_source)
                WHEN e.type = 'step.iterated' AND NOT e.body ? 'run'
                THEN e.body - 'usage' || jsonb_build_object('run', p_source, 'startedAt', millis)
                ELSE e.body END
      FROM run_event e
     WHERE e.tenant_id = p_tenant AND e.run_id = p_source AND e.seq <= coalesce(p_until, e.seq)
       AND (e.path = ANY (p_kept)
            AND e.type IN ('step.completed', 'step.failed', 'step.skipped', 'step.reused')
            OR e.type = 'step.iterated'
            AND (e.body ->> 'index')::int < (p_opened ->> e.path)::int);
  GET DIAGNOSTICS taken = ROW_COUNT;
  RETURN taken;
END $$;

-- A run takes over what another's maps have done: items that are done, but for one of each map of p_but
-- (its number by path); of the maps p_failed also those that failed for good.
CREATE FUNCTION engine_map_inherit_7(
  p_tenant uuid, p_from uuid, p_to uuid, p_paths text[], p_but jsonb, p_failed text[]
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  INSERT INTO map_item (tenant_id, run_id, path, idx, attempt, state, output, error, history, earlier)
    SELECT tenant_id, p_to, path, idx, CASE state WHEN 'done' THEN 0 ELSE 1 END, state, output, error,
           history, earlier
      FROM map_item
     WHERE tenant_id = p_tenant AND run_id = p_from AND path = ANY (p_paths)
       AND (state = 'done' OR state = 'failed' AND path = ANY (p_failed))
       AND idx IS DISTINCT FROM (p_but ->> path)::int
    ON CONFLICT ON CONSTRAINT map_item_pkey DO NOTHING;
END $$;

-- The run of an item goes on from an earlier run of it: p_from is {run, kept, opened, maps, but, failed}.
CREATE FUNCTION engine_follow_7(p_tenant uuid, p_run uuid, p_from jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  source uuid := (p_from ->> 'run')::uuid;
  kept text[] := ARRAY (SELECT jsonb_array_elements_text(p_from -> 'kept'));
  maps text[] := ARRAY (SELECT jsonb_array_elements_text(p_from -> 'maps'));
  failed text[] := ARRAY (SELECT jsonb_array_elements_text(p_from -> 'failed'));
  taken int;
BEGIN
  taken := engine_reuse_7(p_tenant, p_run, 2, source, NULL, kept, p_from -> 'opened');
  UPDATE run SET head = 2 + taken, settled = taken WHERE tenant_id = p_tenant AND id = p_run;
  PERFORM engine_map_inherit_7(p_tenant, source, p_run, maps, p_from -> 'but', failed);
END $$;

-- An ordinary start, with seeds between its first event and its first claim: what is said of single
-- steps (p_given: [{path, body}]), then what is taken over (engine_reuse_7). p_abi: the first release
-- that can read all this.
CREATE FUNCTION executions_chain_7(
  p_tenant uuid, p_run uuid, p_source uuid, p_until int, p_kept text[], p_opened jsonb, p_given jsonb,
  p_abi int, p_facts jsonb, p_event jsonb, p_slots int, p_runs int, p_weight real
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  told int;
  taken int;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, body)
    SELECT p_tenant, p_run, 1 + g.o, 'step.given', g.x ->> 'path', g.x -> 'body'
      FROM jsonb_array_elements(p_given) WITH ORDINALITY AS g(x, o);
  GET DIAGNOSTICS told = ROW_COUNT;
  taken := engine_reuse_7(p_tenant, p_run, 1 + told, p_source, p_until, p_kept, p_opened);
  PERFORM executions_start_7(p_tenant, p_run, p_facts, p_event, p_slots, p_runs, p_weight);
  UPDATE run SET head = 1 + told + taken, settled = taken, abi = coalesce(p_abi, abi)
   WHERE tenant_id = p_tenant AND id = p_run AND told + taken > 0;
END $$;
