"""Real Kafka, Toxiproxy, Postgres and Redis or Valkey as processes of this machine, without root."""
