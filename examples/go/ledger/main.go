// Command ledger adds each payment to its account once, and publishes one receipt for it.
//
// The balance and an inbox row are one transaction of Postgres. The receipt and the offset are one transaction of Kafka.
// A payment that comes again after a crash between the two finds its inbox row, and only its receipt is made anew.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	_ "github.com/lib/pq"
	"github.com/twmb/franz-go/pkg/kgo"
)

const tables = `
BEGIN;
SELECT pg_advisory_xact_lock(1);
CREATE TABLE IF NOT EXISTS inbox (payment text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS accounts (account text PRIMARY KEY, cents bigint NOT NULL);
COMMIT;`

type payment struct {
	ID      string `json:"id"`
	Account string `json:"account"`
	Cents   int64  `json:"cents"`
}

type receipt struct {
	Payment string `json:"payment"`
	Cents   int64  `json:"cents"`
}

func main() {
	ctx := context.Background()
	database := must(sql.Open("postgres", os.Getenv("DATABASE_URL")))
	must(database.Exec(tables))
	timeout := must(time.ParseDuration(os.Getenv("SESSION_TIMEOUT")))
	session := must(kgo.NewGroupTransactSession(
		kgo.SeedBrokers(os.Getenv("KAFKA")),
		kgo.ConsumerGroup(os.Getenv("GROUP")),
		kgo.ConsumeTopics(os.Getenv("PAYMENTS")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(timeout),
		kgo.HeartbeatInterval(timeout/4),
		kgo.TransactionalID(os.Getenv("TRANSACTIONAL_ID")),
	))
	go http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for {
		fetches := session.PollRecords(ctx, 10)
		fetches.EachError(func(_ string, _ int32, err error) { log.Print(err) })
		if fetches.NumRecords() == 0 {
			continue
		}
		check(session.Begin())
		fetches.EachRecord(func(record *kgo.Record) {
			var paid payment
			check(json.Unmarshal(record.Value, &paid))
			check(credit(ctx, database, paid))
			value := must(json.Marshal(receipt{paid.ID, paid.Cents}))
			session.Produce(ctx, &kgo.Record{Topic: os.Getenv("RECEIPTS"), Key: record.Key, Value: value}, nil)
		})
		// Not committed, because the group was rebalanced or a receipt could not be produced: all of it comes again.
		must(session.End(ctx, kgo.TryCommit))
	}
}

// credit adds a payment to its account, unless it was added before.
func credit(ctx context.Context, database *sql.DB, paid payment) error {
	change, err := database.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer change.Rollback()
	first, err := change.ExecContext(ctx, "INSERT INTO inbox VALUES ($1) ON CONFLICT DO NOTHING", paid.ID)
	if err != nil {
		return err
	}
	if rows, err := first.RowsAffected(); err != nil || rows == 0 {
		return err
	}
	_, err = change.ExecContext(ctx,
		"INSERT INTO accounts VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET cents = accounts.cents + EXCLUDED.cents",
		paid.Account, paid.Cents)
	if err != nil {
		return err
	}
	return change.Commit()
}

// must ends the process, to be started again, if something failed.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
