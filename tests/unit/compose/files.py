"""Compose files as people write them."""

SHOP = """\
version: "3.8"

x-common: &common
  restart: unless-stopped
  networks: [backend]

x-kafka: &kafka-env
  KAFKA_BOOTSTRAP_SERVERS: kafka:29092
  ORDERS_TOPIC: orders

services:
  zookeeper:
    image: confluentinc/cp-zookeeper:7.5.0
    environment: {ZOOKEEPER_CLIENT_PORT: 2181}
  kafka:
    image: confluentinc/cp-kafka:7.5.0
    depends_on: [zookeeper]
    ports: ["9092:9092"]
    environment:
      KAFKA_ZOOKEEPER_CONNECT: zookeeper:2181
      KAFKA_ADVERTISED_LISTENERS: PLAINTEXT://kafka:29092,PLAINTEXT_HOST://localhost:9092
      KAFKA_NUM_PARTITIONS: 6
  kafka-ui:
    image: provectuslabs/kafka-ui:latest
    ports: ["8081:8080"]
    environment: {KAFKA_CLUSTERS_0_BOOTSTRAPSERVERS: "kafka:29092"}
  redis:
    image: redis:7.2-alpine
    command: redis-server --save 60 1 --maxmemory 64mb --port 6379
  db:
    image: postgres:16
    environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: shop, POSTGRES_DB: shop}
    volumes:
      - ./init.sql:/docker-entrypoint-initdb.d/init.sql
  shop:
    <<: *common
    build: ./shop
    command: uvicorn shop:app --host 0.0.0.0 --port 8000
    ports:
      - "8080:8000"
    environment:
      <<: *kafka-env
      DATABASE_URL: postgresql+asyncpg://shop:shop@db:5432/shop
      DEBUG: false
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:8000/health?deep=1"]
    depends_on: [kafka, db]
  billing:
    <<: *common
    build: {context: ./billing}
    command: ["python", "-m", "billing"]
    deploy: {replicas: 3}
    environment:
      <<: *kafka-env
      KAFKA_GROUP_ID: billing
      REDIS_HOST: redis
      REDIS_PORT: 6379
      DB_HOST: db
      DB_PORT: 5432
      DB_USER: shop
      DB_NAME: shop
      DB_PASSWORD: ${DB_PASSWORD}
networks: {backend: {}}
"""
"""Confluent's Kafka with ZooKeeper, a user interface, anchors, addresses in two halves."""

REDPANDA = """\
name: Tracking
services:
  redpanda:
    image: docker.redpanda.com/redpandadata/redpanda:v24.1.1
    command: [redpanda, start, --kafka-addr, "internal://0.0.0.0:9092"]
  console:
    image: docker.redpanda.com/redpandadata/console:v2.4
  topics:
    image: docker.redpanda.com/redpandadata/redpanda:v24.1.1
    entrypoint: ["/bin/sh", "-c"]
    command: ["rpk topic create parcels scans -p 3 -X brokers=redpanda:9092 && rpk topic create dead -X brokers=redpanda:9092"]
    depends_on: {redpanda: {condition: service_started}}
  cache:
    image: valkey/valkey:8
    command: valkey-server --requirepass not-a-real-one
  tracker:
    image: ghcr.io/acme/tracker:${TRACKER_VERSION:-1.4}
    scale: 2
    ports:
      - {target: 3000, published: "3000", protocol: tcp}
    environment:
      - BROKERS=redpanda:9092
      - PARCELS_TOPIC=parcels
      - SCAN_TOPICS=scans,parcels
      - REDIS_URL=redis://:not-a-real-one@cache:6379/1
      - NODE_ENV=production
      - LICENCE
      - FORMAT={level} {message}
    healthcheck: {test: "wget -qO- http://127.0.0.1:3000/healthz || exit 1"}
"""
"""Redpanda and Valkey, a list of variables, a long port, images only."""

BITNAMI = """\
services:
  kafka-0: &broker
    image: bitnami/kafka:3.7
    environment: {KAFKA_CFG_PROCESS_ROLES: "controller,broker"}
  kafka-1: *broker
  kafka-2: *broker
  redis:
    image: bitnami/redis:7.2
    environment: {REDIS_PASSWORD: not-a-real-one}
  database:
    image: bitnami/postgresql:15
  base: &base
    image: acme/worker:2
    profiles: [never]
    environment: {LOG_LEVEL: info}
  worker-1:
    extends: {service: base}
    profiles: []
    env_file: [worker.env]
    environment:
      SPRING_KAFKA_BOOTSTRAP_SERVERS: kafka-0:9092,kafka-1:9092,kafka-2:9092
      SPRING_DATASOURCE_URL: jdbc:postgresql://database:5432/app?currentSchema=x
      SPRING_DATASOURCE_USERNAME: app
      SERVER_PORT: 8085
      SCHEMA_REGISTRY: http://registry:8081
  worker-2:
    extends: worker-1
  registry:
    image: confluentinc/cp-schema-registry:7.5.0
    profiles: [schemas]
"""
"""Three brokers, `extends`, `env_file`, profiles, a dependency whose name is a placeholder, two services that are replicas."""

KAFKA_ALONE = """\
services:
  broker:
    image: apache/kafka-native:3.9.0
    container_name: kafka
    environment: {KAFKA_CREATE_TOPICS: "orders:4:1,audit:1:1"}
  till:
    build: .
    entrypoint: python
    command: till.py
    volumes: [".:/app", "till_data:/var/lib/till"]
    working_dir: /app
    environment:
      KAFKA: kafka:9092
      ORDERS_TOPIC: orders
      CONSUMER_GROUP: till
      DATABASE: sqlite:////var/lib/till/till.db
      KEY: ${API_KEY:?ask the team}
      SIZE: ${SIZE:-10}
      PRICE: "5$$"
volumes: {till_data: {}}
"""
"""Apache's own image, another host name, a volume, variables without a value."""

OLD = """\
version: '2.1'
services:
  kafka:
    image: wurstmeister/kafka:2.13-2.8.1
    links: ["zk:zookeeper"]
  zk: {image: "zookeeper:3.9"}
  api:
    image: acme/api:1
    links: ["kafka:queue"]
    expose: ["80"]
    environment: [QUEUE=queue:9092]
    mem_limit: 512m
"""
"""A file of version 2, with links that have names of their own."""

ALL = {"shop": SHOP, "redpanda": REDPANDA, "bitnami": BITNAMI, "kafka alone": KAFKA_ALONE, "old": OLD}
BESIDE = {
    "worker.env": "# settings\nWORKERS=4\nAPI_TOKEN=hush-hush\nGREETING='hello you'\n",
    ".env": "SIZE=12\nAPI_KEY=hush-hush\n",
}
