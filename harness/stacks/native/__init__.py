"""Real Kafka, Toxiproxy and Redis or Valkey as processes of this machine, without root."""
