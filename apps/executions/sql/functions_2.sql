-- The second edition: tasks. Functions of the first edition stay for processes of the release before.

-- Attempts for workers of other pools; each pool is a lane with the ceilings of the run's own.
CREATE FUNCTION engine_dispatch_2(p_tenant uuid, p_run uuid, p_tasks jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  wanted text;
  own record;
BEGIN
  FOR wanted IN
    SELECT DISTINCT t.pool FROM jsonb_to_recordset(p_tasks) AS t(pool text) ORDER BY 1
  LOOP
    SELECT l.weight, l.max_inflight, l.max_runs INTO own
      FROM run r JOIN lane l ON l.tenant_id = r.tenant_id AND l.pool = r.pool
     WHERE r.tenant_id = p_tenant AND r.id = p_run;
    IF NOT EXISTS (SELECT FROM lane WHERE tenant_id = p_tenant AND pool = wanted
                     AND (weight, max_inflight, max_runs)
                         = (own.weight, own.max_inflight, own.max_runs)) THEN
      INSERT INTO lane (tenant_id, pool, weight, max_inflight, max_runs)
        VALUES (p_tenant, wanted, own.weight, own.max_inflight, own.max_runs)
        ON CONFLICT ON CONSTRAINT lane_pkey
        DO UPDATE SET max_inflight = EXCLUDED.max_inflight, max_runs = EXCLUDED.max_runs,
                      weight = EXCLUDED.weight;
    END IF;
    PERFORM engine_ready_1(p_tenant, wanted);
  END LOOP;
  INSERT INTO work_item (tenant_id, run_id, kind, path, attempt, pool, slots, sort_key)
    SELECT p_tenant, p_run, 'task', t.path, t.attempt, t.pool, t.slots,
           clock_timestamp() - (r.priority - 1) * interval '1 minute'
      FROM jsonb_to_recordset(p_tasks) AS t(path text, attempt int, pool text, slots smallint),
           run r
     WHERE r.tenant_id = p_tenant AND r.id = p_run;
END $$;

-- The run is stopping: what nobody has leased comes back at once, what runs is asked to stop.
CREATE FUNCTION engine_recall_2(p_tenant uuid, p_run uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM id FROM work_item WHERE run_id = p_run AND kind = 'task' ORDER BY id FOR UPDATE;
  WITH dropped AS (
    DELETE FROM work_item WHERE run_id = p_run AND kind = 'task' AND worker_id IS NULL
    RETURNING path, attempt
  )
  INSERT INTO run_inbox (tenant_id, run_id, id, kind, body)
    SELECT p_tenant, p_run, gen_random_uuid(), 'task_result',
           jsonb_build_object('path', d.path, 'attempt', d.attempt, 'stopped', 'CANCELED',
             'startedAt', to_char(clock_timestamp() AT TIME ZONE 'UTC',
                                  'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'))
      FROM dropped d;
  UPDATE work_item SET has_mail = true WHERE run_id = p_run AND kind = 'task';
END $$;

-- The rest of an append, after its compare-and-set: what leaves, waits, is consumed, is announced.
CREATE FUNCTION engine_change_2(p_tenant uuid, p_run uuid, p_token uuid, p_change jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  goes text := p_change ->> 'left';
  item work_item;
BEGIN
  IF p_change ? 'consumed' THEN
    DELETE FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run
       AND id IN (SELECT x::uuid FROM jsonb_array_elements_text(p_change -> 'consumed') x);
    UPDATE work_item SET has_mail = false WHERE run_id = p_run AND kind = 'run' AND has_mail
       AND NOT EXISTS (SELECT FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run);
  END IF;
  IF p_change ? 'writes' THEN
    DELETE FROM node_state n USING jsonb_array_elements(p_change -> 'writes') w, run r
     WHERE r.tenant_id = p_tenant AND r.id = p_run AND w ->> 'value' IS NULL
       AND n.tenant_id = p_tenant AND n.workflow_id = r.workflow_id AND n.key = w ->> 'key';
    INSERT INTO node_state AS n (tenant_id, workflow_id, key, value)
      SELECT DISTINCT ON (w.x ->> 'key') p_tenant, r.workflow_id, w.x ->> 'key', w.x -> 'value'
        FROM run r, jsonb_array_elements(p_change -> 'writes') WITH ORDINALITY AS w(x, o)
       WHERE r.tenant_id = p_tenant AND r.id = p_run AND w.x ->> 'value' IS NOT NULL
       ORDER BY w.x ->> 'key', w.o DESC
      ON CONFLICT ON CONSTRAINT node_state_pkey
      DO UPDATE SET value = EXCLUDED.value, changed_at = clock_timestamp();
  END IF;
  IF p_change ? 'started' THEN
    INSERT INTO outbox (tenant_id, run_id, kind) VALUES (p_tenant, p_run, 'run.started');
  END IF;
  IF p_change ? 'tasks' THEN
    PERFORM engine_dispatch_2(p_tenant, p_run, p_change -> 'tasks');
  END IF;
  IF p_change ? 'recall' THEN
    PERFORM engine_recall_2(p_tenant, p_run);
  END IF;
  IF goes IS NULL THEN
    RETURN;
  ELSIF goes = 'FINISHED' THEN
    DELETE FROM work_item WHERE run_id = p_run;
    DELETE FROM timer WHERE run_id = p_run;
    DELETE FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run;
    INSERT INTO outbox (tenant_id, run_id, kind) VALUES (p_tenant, p_run, 'run.finished');
    RETURN;
  END IF;
  SELECT * INTO item FROM work_item WHERE run_id = p_run AND kind = 'run' AND token = p_token
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN; -- Reaped while we worked: it is ready already.
  END IF;
  IF goes = 'PARKED' THEN
    IF p_change ? 'wakeAt' THEN
      INSERT INTO timer AS t (tenant_id, run_id, kind, pool, slots, fire_at)
        VALUES (p_tenant, p_run, 'retry', item.pool, item.slots,
                (p_change ->> 'wakeAt')::timestamptz)
        ON CONFLICT ON CONSTRAINT timer_one DO UPDATE SET fire_at = EXCLUDED.fire_at;
    END IF;
    -- Whoever writes to the inbox locks the run first, as our compare-and-set did.
    IF NOT EXISTS (SELECT FROM run_inbox WHERE tenant_id = p_tenant AND run_id = p_run) THEN
      DELETE FROM work_item WHERE id = item.id;
      RETURN;
    END IF;
  END IF;
  PERFORM engine_ready_1(p_tenant, item.pool);
  UPDATE work_item SET worker_id = NULL, token = NULL, granted = 0, sort_key = clock_timestamp()
   WHERE id = item.id;
END $$;

-- The one writer of a run's history. False: another owner holds the fence, nothing was written.
CREATE FUNCTION engine_append_2(
  p_tenant uuid, p_run uuid, p_token uuid, p_head int, p_settled int,
  p_types text[], p_paths text[], p_attempts int[], p_bodies jsonb[], p_change jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  n int := cardinality(p_types);
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  IF p_change IS NULL THEN
    UPDATE run SET head = p_head + n, settled = settled + p_settled
     WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token AND head = p_head;
  ELSE
    UPDATE run SET head = p_head + n, settled = settled + p_settled,
        state = coalesce(p_change ->> 'state', state),
        started_at = CASE WHEN p_change ? 'started' THEN clock_timestamp() ELSE started_at END,
        finished_at = CASE WHEN p_change ->> 'left' = 'FINISHED' THEN clock_timestamp() END,
        result = p_change -> 'result', error = p_change -> 'error',
        attempts = coalesce((p_change ->> 'attempts')::int, attempts),
        cpu_seconds = coalesce((p_change ->> 'cpuSeconds')::double precision, cpu_seconds),
        peak_memory_bytes = coalesce((p_change ->> 'peakMemoryBytes')::bigint, peak_memory_bytes),
        bytes_in = coalesce((p_change ->> 'bytesIn')::bigint, bytes_in),
        bytes_out = coalesce((p_change ->> 'bytesOut')::bigint, bytes_out),
        cost_minor = coalesce((p_change ->> 'costMinor')::bigint, cost_minor)
     WHERE tenant_id = p_tenant AND id = p_run AND fence = p_token AND head = p_head;
  END IF;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, p_run, p_head + e.o, e.type, e.path, e.attempt, e.body
      FROM unnest(p_types, p_paths, p_attempts, p_bodies)
           WITH ORDINALITY AS e(type, path, attempt, body, o);
  IF p_change IS NOT NULL THEN
    PERFORM engine_change_2(p_tenant, p_run, p_token, p_change);
  END IF;
  RETURN true;
END $$;

-- The same for pure steps of many runs of one tenant; returns the runs whose fence still held.
-- p_changes has one element per run: JSON null where there is none.
CREATE FUNCTION engine_append_batch_2(
  p_tenant uuid, p_runs uuid[], p_tokens uuid[], p_heads int[], p_counts int[], p_settled int[],
  p_changes jsonb[], p_event_runs uuid[], p_seqs int[], p_types text[], p_paths text[],
  p_attempts int[], p_bodies jsonb[]
) RETURNS SETOF uuid
LANGUAGE plpgsql AS $$
DECLARE
  held uuid[];
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  WITH given AS (
    SELECT * FROM unnest(p_runs, p_tokens, p_heads, p_counts, p_settled, p_changes)
                  AS g(run, token, head, n, settled, change)
  ), locked AS (
    SELECT y.id FROM run y JOIN given g ON g.run = y.id
     WHERE y.tenant_id = p_tenant ORDER BY y.id FOR NO KEY UPDATE OF y
  ), moved AS (
    UPDATE run y SET head = g.head + g.n, settled = y.settled + g.settled,
        state = coalesce(g.change ->> 'state', y.state),
        started_at = CASE WHEN g.change ? 'started' THEN clock_timestamp() ELSE y.started_at END,
        finished_at = CASE WHEN g.change ->> 'left' = 'FINISHED' THEN clock_timestamp() END,
        result = g.change -> 'result', error = g.change -> 'error',
        attempts = coalesce((g.change ->> 'attempts')::int, y.attempts),
        cpu_seconds = coalesce((g.change ->> 'cpuSeconds')::double precision, y.cpu_seconds),
        peak_memory_bytes =
          coalesce((g.change ->> 'peakMemoryBytes')::bigint, y.peak_memory_bytes),
        bytes_in = coalesce((g.change ->> 'bytesIn')::bigint, y.bytes_in),
        bytes_out = coalesce((g.change ->> 'bytesOut')::bigint, y.bytes_out),
        cost_minor = coalesce((g.change ->> 'costMinor')::bigint, y.cost_minor)
      FROM given g JOIN locked k ON k.id = g.run
     WHERE y.tenant_id = p_tenant AND y.id = g.run AND y.fence = g.token AND y.head = g.head
    RETURNING y.id
  )
  SELECT coalesce(array_agg(id), '{}') INTO held FROM moved;
  INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)
    SELECT p_tenant, e.run, e.seq, e.type, e.path, e.attempt, e.body
      FROM unnest(p_event_runs, p_seqs, p_types, p_paths, p_attempts, p_bodies)
           AS e(run, seq, type, path, attempt, body)
     WHERE e.run = ANY (held);
  PERFORM engine_change_2(p_tenant, g.run, g.token, g.change)
     FROM unnest(p_runs, p_tokens, p_changes) AS g(run, token, change)
    WHERE g.change IS NOT NULL AND g.run = ANY (held);
  RETURN QUERY SELECT unnest(held);
END $$;

-- T1. Up to p_want items, runs or tasks, of the cheapest unblocked lanes. Losing this commit loses nothing: the
-- token is random, and run.fence still names the older owner.
-- p_charged/p_ms: slot-milliseconds used since the last claim, by tenant (paid afterwards).
CREATE FUNCTION engine_claim_2(
  p_worker uuid, p_pool text, p_want int, p_charged uuid[], p_ms double precision[]
) RETURNS TABLE (
  item_id bigint, tenant_id uuid, run_id uuid, token uuid, head int, settled int, granted smallint,
  crashes int, has_inbox boolean, workflow_id uuid, version_id uuid, environment text,
  environment_id uuid, lineage_id uuid, installation_id uuid, parameters jsonb, variables jsonb,
  created_at timestamptz, deadline_at timestamptz, ready_at timestamptz, path text, attempt int,
  has_begun boolean
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  l record;
  room int;
  runs int;
  got int;
  next_vtime double precision;
  fresh uuid;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  IF p_charged IS NOT NULL THEN
    PERFORM engine_charge_1(p_pool, p_charged, p_ms);
  END IF;
  FOR l IN
    SELECT x.tenant_id, x.max_inflight, x.max_runs, x.weight FROM lane x
     WHERE x.pool = p_pool AND x.has_ready
       AND (x.blocked_until IS NULL OR x.blocked_until <= clock_timestamp())
     ORDER BY x.vtime LIMIT 4 FOR NO KEY UPDATE SKIP LOCKED
  LOOP
    EXIT WHEN p_want <= 0;
    PERFORM set_config('app.tenant', l.tenant_id::text, true);
    -- Claimers of other pools count the same slots: one at a time.
    CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtextextended(l.tenant_id::text, 1));
    SELECT l.max_inflight - coalesce(sum(x.granted), 0),
           l.max_runs - count(*) FILTER (WHERE x.kind = 'run') INTO room, runs
      FROM work_item x WHERE x.tenant_id = l.tenant_id AND x.worker_id IS NOT NULL;
    IF room <= 0 THEN
      UPDATE lane x SET blocked_until = clock_timestamp() + interval '250 ms'
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool;
      CONTINUE;
    END IF;
    fresh := gen_random_uuid();
    RETURN QUERY
      WITH picked AS (
        SELECT x.id, x.kind, x.slots, x.sort_key FROM work_item x
         WHERE x.pool = p_pool AND x.tenant_id = l.tenant_id AND x.worker_id IS NULL
           AND (x.kind <> 'run' OR runs > 0)
         ORDER BY x.sort_key, x.id LIMIT least(p_want, room) FOR UPDATE SKIP LOCKED
      ), sized AS (
        SELECT p.*, sum(p.slots) OVER o AS upto, count(*) FILTER (WHERE p.kind = 'run') OVER o AS nth
          FROM picked p WINDOW o AS (ORDER BY p.sort_key, p.id)
      ), chosen AS (
        SELECT s.id, s.kind, least(s.slots, room - (s.upto - s.slots))::smallint AS granted
          FROM sized s WHERE s.upto - s.slots < room AND (s.kind <> 'run' OR s.nth <= runs)
      ), free AS (
        -- Whoever holds the run's row (an append, a cancellation) may wait for our item: we never
        -- wait for the run.
        SELECT y.id, c.id AS item_id, c.granted
          FROM chosen c JOIN work_item x ON x.id = c.id
          JOIN run y ON y.tenant_id = l.tenant_id AND y.id = x.run_id
         WHERE c.kind = 'run' FOR NO KEY UPDATE OF y SKIP LOCKED
      ), fenced AS (
        UPDATE run y SET fence = fresh FROM free c
         WHERE y.tenant_id = l.tenant_id AND y.id = c.id
        RETURNING c.item_id, c.granted AS slots_granted, y.*
      ), held AS (
        SELECT * FROM fenced
        UNION ALL
        SELECT c.id, c.granted, y.* FROM chosen c JOIN work_item x ON x.id = c.id
          JOIN run y ON y.tenant_id = l.tenant_id AND y.id = x.run_id
         WHERE c.kind = 'task'
      ), leased AS (
        UPDATE work_item x
           SET worker_id = p_worker, granted = f.slots_granted, claims = x.claims + 1,
               token = CASE x.kind WHEN 'run' THEN fresh ELSE gen_random_uuid() END,
               settled_seen = f.settled,
               crashes = CASE WHEN x.kind = 'run' AND f.settled > x.settled_seen THEN 0
                              ELSE x.crashes END
          FROM held f WHERE x.id = f.item_id
        RETURNING x.*
      )
      SELECT d.id, f.tenant_id, f.id, d.token, f.head, f.settled, f.slots_granted, d.crashes,
             CASE d.kind WHEN 'task' THEN d.has_mail
               ELSE EXISTS (SELECT FROM run_inbox i
                             WHERE i.tenant_id = f.tenant_id AND i.run_id = f.id) END,
             f.workflow_id, f.version_id, f.environment, f.environment_id, f.lineage_id,
             f.installation_id, f.parameters, f.variables, f.created_at, f.deadline_at, d.sort_key,
             CASE d.kind WHEN 'task' THEN d.path END, d.attempt, d.has_begun
        FROM held f JOIN leased d ON d.id = f.item_id;
    GET DIAGNOSTICS got = ROW_COUNT;
    p_want := p_want - got;
    IF got > 0 THEN
      -- An idle tenant keeps at most a second of credit over the next in the queue.
      SELECT min(x.vtime) INTO next_vtime FROM lane x
       WHERE x.pool = p_pool AND x.has_ready AND x.tenant_id <> l.tenant_id;
      UPDATE lane x
         SET vtime = greatest(x.vtime, next_vtime - 1000) + got / x.weight, blocked_until = NULL
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool;
    ELSIF runs <= 0 THEN
      UPDATE lane x SET blocked_until = clock_timestamp() + interval '250 ms'
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool;
    ELSIF pg_try_advisory_xact_lock(hashtextextended(l.tenant_id::text || p_pool, 0)) THEN
      UPDATE lane x SET has_ready = false
       WHERE x.tenant_id = l.tenant_id AND x.pool = p_pool
         AND NOT EXISTS (SELECT FROM work_item y WHERE y.pool = p_pool
                          AND y.tenant_id = l.tenant_id AND y.worker_id IS NULL);
    END IF;
  END LOOP;
END $$;

-- A task's end, in one transaction: the item goes, its result is in the inbox, the run has an item.
-- False: another worker holds the task now, or an earlier call of ours has done all this.
CREATE FUNCTION engine_task_done_2(
  p_tenant uuid, p_run uuid, p_item bigint, p_token uuid, p_id uuid, p_body jsonb
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true);
  SELECT pool, slots, finished_at INTO r FROM run
   WHERE tenant_id = p_tenant AND id = p_run FOR NO KEY UPDATE;
  DELETE FROM work_item WHERE id = p_item AND token = p_token;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF r.finished_at IS NULL THEN
    INSERT INTO run_inbox (tenant_id, run_id, id, kind, body)
      VALUES (p_tenant, p_run, p_id, 'task_result', p_body);
    PERFORM engine_ready_1(p_tenant, r.pool);
    INSERT INTO work_item AS w (tenant_id, run_id, pool, slots, has_mail)
      VALUES (p_tenant, p_run, r.pool, r.slots, true)
      ON CONFLICT ON CONSTRAINT work_item_one DO UPDATE SET has_mail = true;
  END IF;
  RETURN true;
END $$;

-- The intent of a task's effect, durable before it touches the world. False: the task is another's.
CREATE FUNCTION engine_task_begun_2(p_item bigint, p_token uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE work_item SET has_begun = true WHERE id = p_item AND token = p_token;
  RETURN FOUND;
END $$;
