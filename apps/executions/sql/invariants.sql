-- What must be true of the engine's rows at any instant: each query returns the rows that violate it.
-- A query is everything after its heading. TENANT: run in a tenant's scope. ENGINE: as the engine.

-- TENANT I1 an open run has an item, a task or a timer, or it waits for somebody or is held
SELECT r.id FROM run r WHERE r.finished_at IS NULL AND r.state NOT IN ('WAITING', 'PAUSED')
   AND r.held_key IS NULL
   AND NOT EXISTS (SELECT FROM work_item w WHERE w.run_id = r.id)
   AND NOT EXISTS (SELECT FROM timer t WHERE t.run_id = r.id AND t.kind <> 'deadline')

-- TENANT I28 a run that waits has a step that does, and a timer or an item if it waits for a time
SELECT r.id FROM run r
 WHERE r.state = 'WAITING' AND NOT EXISTS (SELECT FROM work_item i WHERE i.run_id = r.id)
   AND NOT EXISTS (SELECT FROM timer t WHERE t.run_id = r.id AND t.kind <> 'deadline')
   AND NOT EXISTS (SELECT FROM run_event e
         WHERE e.tenant_id = r.tenant_id AND e.run_id = r.id AND e.type = 'step.waiting'
           AND NOT e.body ? 'until' AND NOT EXISTS (SELECT FROM run_event l
             WHERE l.tenant_id = e.tenant_id AND l.run_id = e.run_id AND l.path = e.path
               AND l.seq > e.seq))

-- TENANT I2 a terminal run has neither item nor timer nor mail
SELECT r.id FROM run r WHERE r.finished_at IS NOT NULL AND (
  EXISTS (SELECT FROM work_item w WHERE w.run_id = r.id)
  OR EXISTS (SELECT FROM timer t WHERE t.run_id = r.id)
  OR EXISTS (SELECT FROM run_inbox i WHERE i.tenant_id = r.tenant_id AND i.run_id = r.id))

-- TENANT I5 seq is 1..head without a gap
SELECT r.id FROM run r LEFT JOIN LATERAL (
    SELECT count(*) AS n, min(e.seq) AS low, max(e.seq) AS high FROM run_event e
     WHERE e.tenant_id = r.tenant_id AND e.run_id = r.id) e ON true
 WHERE (e.n, e.low, e.high) IS DISTINCT FROM (r.head::bigint, 1, r.head)

-- TENANT I6 a step settles at most once
SELECT e.run_id || ' ' || e.path FROM run_event e
 WHERE e.type IN
   ('step.completed', 'step.failed', 'step.skipped', 'step.canceled', 'step.reused')
 GROUP BY e.run_id, e.path HAVING count(*) > 1

-- TENANT I9 the run row is its history
SELECT r.id || ' ' || r.state || ' ' || l.type FROM run r JOIN LATERAL (
    SELECT e.type FROM run_event e
     WHERE e.tenant_id = r.tenant_id AND e.run_id = r.id AND e.type LIKE 'run.%'
     ORDER BY e.seq DESC LIMIT 1) l ON true
 WHERE replace(r.state, 'WAITING', 'RUNNING') <> CASE
      WHEN l.type = 'run.resumed' AND r.state = 'COMPENSATING' THEN 'COMPENSATING'
      WHEN l.type IN ('run.started', 'run.resumed', 'run.compensated') THEN 'RUNNING'
      ELSE upper(replace(l.type, 'run.', '')) END
    OR (r.finished_at IS NULL) <> (l.type IN ('run.queued', 'run.started', 'run.paused',
         'run.resumed', 'run.canceling', 'run.compensating', 'run.compensated'))
    OR r.settled <> (SELECT count(*) FROM run_event e
         WHERE e.tenant_id = r.tenant_id AND e.run_id = r.id AND e.type IN
           ('step.completed', 'step.failed', 'step.skipped', 'step.canceled',
            'step.iterated', 'step.reused'))

-- TENANT I13 leased slots and runs of all pools stay within the tenant's ceilings
SELECT sum(w.granted) || ' slots' FROM work_item w
 WHERE w.tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid
   AND w.worker_id IS NOT NULL
HAVING sum(w.granted) > (SELECT max(l.max_inflight) FROM lane l
         WHERE l.tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid)
    OR count(*) FILTER (WHERE w.kind = 'run') > (SELECT max(l.max_runs) FROM lane l
         WHERE l.tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid)

-- TENANT I27 a dispatched attempt that has not come back has its task, or its result in the inbox
SELECT e.run_id || ' ' || e.path FROM run_event e JOIN run r
    ON r.tenant_id = e.tenant_id AND r.id = e.run_id AND r.finished_at IS NULL
 WHERE e.type = 'step.dispatched'
   AND NOT EXISTS (SELECT FROM run_event l WHERE l.tenant_id = e.tenant_id AND l.run_id = e.run_id
         AND l.path = e.path AND l.seq > e.seq AND l.type <> 'step.started')
   AND NOT EXISTS (SELECT FROM work_item w WHERE w.run_id = e.run_id AND w.kind = 'task'
         AND w.path = e.path AND w.attempt = e.attempt)
   AND NOT EXISTS (SELECT FROM run_inbox i WHERE i.tenant_id = e.tenant_id
         AND i.run_id = e.run_id AND i.kind = 'task_result' AND i.body ->> 'path' = e.path)

-- TENANT I16 a map's items are inside it, and a chunk that is done has an outcome for each of its own
SELECT m.run_id || ' ' || m.path || ' ' || m.chunk FROM map_chunk m
 WHERE m.state = 'done' AND (m.done + m.failed <> m.high - m.low OR (m.done, m.failed) <> (
     SELECT count(*) FILTER (WHERE i.state = 'done'), count(*) FILTER (WHERE i.state = 'failed')
       FROM map_item i WHERE i.tenant_id = m.tenant_id AND i.run_id = m.run_id
        AND i.path = m.path AND i.idx >= m.low AND i.idx < m.high))
UNION ALL
SELECT i.run_id || ' ' || i.path || ' ' || i.idx FROM map_item i JOIN LATERAL (
    SELECT (e.body -> 'opening' ->> 'total')::int AS total FROM run_event e
     WHERE e.tenant_id = i.tenant_id AND e.run_id = i.run_id AND e.path = i.path
       AND e.type = 'step.opened' ORDER BY e.seq DESC LIMIT 1) o ON true
 WHERE i.idx < 0 OR i.idx >= o.total

-- TENANT I30 a chunk that was handed out has its item, or its result in the inbox
SELECT e.run_id || ' ' || e.path || ' ' || (e.body ->> 'chunk') FROM run_event e JOIN run r
    ON r.tenant_id = e.tenant_id AND r.id = e.run_id AND r.finished_at IS NULL
 WHERE e.type = 'chunk.dispatched'
   AND NOT EXISTS (SELECT FROM run_event l WHERE l.tenant_id = e.tenant_id AND l.run_id = e.run_id
         AND l.path = e.path AND l.seq > e.seq AND l.type = 'chunk.completed'
         AND l.body ->> 'chunk' = e.body ->> 'chunk')
   AND NOT EXISTS (SELECT FROM work_item w WHERE w.run_id = e.run_id AND w.kind = 'chunk'
         AND w.path = e.path AND w.idx = (e.body ->> 'chunk')::int)
   AND NOT EXISTS (SELECT FROM run_inbox i WHERE i.tenant_id = e.tenant_id
         AND i.run_id = e.run_id AND i.kind = 'chunk_result' AND i.body ->> 'path' = e.path
         AND i.body ->> 'chunk' = e.body ->> 'chunk')

-- TENANT I19 what refers to a run is its tenant's
SELECT x.run_id FROM (
    SELECT tenant_id, run_id FROM work_item UNION ALL SELECT tenant_id, run_id FROM timer
    UNION ALL SELECT tenant_id, run_id FROM run_inbox) x
 WHERE x.tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid
   AND NOT EXISTS (SELECT FROM run r WHERE r.tenant_id = x.tenant_id AND r.id = x.run_id)

-- TENANT I20 a lane that says it is empty has no ready item; what sleeps is not ready
SELECT w.run_id FROM work_item w
 WHERE w.tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid
   AND w.worker_id IS NULL AND w.pool NOT LIKE 'asleep/%' AND NOT EXISTS (
     SELECT FROM lane l
      WHERE l.tenant_id = w.tenant_id AND l.pool = w.pool AND l.has_ready)

-- TENANT I25 mail that is unread has an item to read it
SELECT i.run_id FROM run_inbox i WHERE NOT EXISTS (
  SELECT FROM work_item w WHERE w.run_id = i.run_id AND w.kind = 'run')

-- TENANT I29 a run that is held waits at a gate that knows
SELECT r.id FROM run r WHERE r.finished_at IS NULL AND r.held_key IS NOT NULL AND NOT EXISTS (
  SELECT FROM workflow_gate g
   WHERE g.tenant_id = r.tenant_id AND g.workflow_id = r.workflow_id AND g.waiting)

-- ENGINE I4 a leased item's worker lives, or died within the last seconds
SELECT w.id FROM work_item w LEFT JOIN worker k ON k.id = w.worker_id
 WHERE w.worker_id IS NOT NULL
   AND (k.id IS NULL OR k.lease_until < clock_timestamp() - interval '20 seconds')

-- TENANT I31 a step that waits for a child has its ask, its child, or its answer; a child's end is not lost
SELECT e.run_id || ' ' || e.path FROM run_event e JOIN run r
    ON r.tenant_id = e.tenant_id AND r.id = e.run_id AND r.finished_at IS NULL
 WHERE e.type = 'step.waiting' AND e.body ->> 'kind' = 'CHILD'
   AND NOT EXISTS (SELECT FROM run_event l WHERE l.tenant_id = e.tenant_id AND l.run_id = e.run_id
         AND l.path = e.path AND l.seq > e.seq)
   AND NOT EXISTS (SELECT FROM ask a WHERE a.tenant_id = e.tenant_id AND a.run_id = e.run_id
         AND a.seq = e.seq)
   AND NOT EXISTS (SELECT FROM run c JOIN open_child o ON o.tenant_id = c.tenant_id
         AND o.run_id = c.id WHERE c.tenant_id = e.tenant_id AND c.parent_id = e.run_id
         AND c.parent_kind IN ('STEP', 'FALLBACK') AND c.parent_path = e.path AND c.parent_attempt = e.attempt)
   AND NOT EXISTS (SELECT FROM run_inbox i WHERE i.tenant_id = e.tenant_id
         AND i.run_id = e.run_id AND i.kind = 'answer' AND i.body ->> 'path' = e.path)

-- TENANT I32 a child is below its parent by one; retention may have taken the parent
SELECT c.id FROM run c JOIN run p ON p.tenant_id = c.tenant_id AND p.id = c.parent_id
 WHERE c.depth <> p.depth + 1

-- TENANT I33 an item that is a run is open as long as that is, and its chunk is out meanwhile
SELECT i.run_id || ' ' || i.path || ' ' || i.idx FROM map_item i
  LEFT JOIN run c ON c.tenant_id = i.tenant_id AND c.id = i.child
  JOIN run p ON p.tenant_id = i.tenant_id AND p.id = i.run_id
 WHERE i.child IS NOT NULL AND i.state = 'begun'
   AND (c.id IS NULL OR c.finished_at IS NOT NULL OR p.finished_at IS NULL AND NOT EXISTS (
     SELECT FROM map_chunk m WHERE m.tenant_id = i.tenant_id AND m.run_id = i.run_id
        AND m.path = i.path AND m.chunk = i.chunk AND m.state = 'open'))
UNION ALL
SELECT c.parent_id || ' ' || c.parent_path FROM run c
 WHERE c.parent_kind = 'ITEM' AND c.finished_at IS NULL AND NOT EXISTS (
   SELECT FROM map_item i WHERE i.tenant_id = c.tenant_id
      AND (i.run_id = c.parent_id AND i.child = c.id OR i.undoer = c.id))

-- TENANT I34 what undoes an item is one run with its history, and its end is what becomes of the item
SELECT i.run_id || ' ' || i.path || ' ' || i.idx FROM map_item i
  JOIN run u ON u.tenant_id = i.tenant_id AND u.id = i.undoer AND u.parent_kind = 'ITEM'
 WHERE u.parent_attempt <> 0 OR (u.finished_at IS NULL AND i.undone)
    OR (u.finished_at IS NOT NULL AND i.undone <> (u.error IS NULL))
    OR NOT EXISTS (SELECT FROM run_event e WHERE e.tenant_id = u.tenant_id AND e.run_id = u.id
         AND e.type = 'run.compensating')
