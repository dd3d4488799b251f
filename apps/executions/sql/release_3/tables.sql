-- The engine's tables, third release: what changes of them, and what is new.
SELECT 1;
