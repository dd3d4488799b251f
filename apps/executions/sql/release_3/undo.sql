-- Back to the second release.
SELECT 1;
