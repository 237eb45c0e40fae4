-- Entities by label and topic. From the checkout: .venv/bin/python -c "import duckdb; print(duckdb.sql(open('examples/query.sql').read()))"
SELECT topic.label AS topic, entity.label AS entity, count(*) AS mentions
FROM (SELECT topic, unnest(entities) AS entity FROM 'out/sample/data/*.parquet')
GROUP BY ALL
ORDER BY mentions DESC, topic, entity;
