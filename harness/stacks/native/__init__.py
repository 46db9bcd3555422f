"""Real Kafka, Toxiproxy, Postgres and Redis or Valkey as local processes, without root."""
