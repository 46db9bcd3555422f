// Command at_least_once is the ledger as it is often written: add, publish, commit the offset.
//
// A payment that comes again is added again, and has a second receipt.
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
	client := must(kgo.NewClient(
		kgo.SeedBrokers(os.Getenv("KAFKA")),
		kgo.ConsumerGroup(os.Getenv("GROUP")),
		kgo.ConsumeTopics(os.Getenv("PAYMENTS")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(timeout),
		kgo.HeartbeatInterval(timeout/4),
		kgo.DisableAutoCommit(),
	))
	go http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for {
		fetches := client.PollRecords(ctx, 10)
		fetches.EachError(func(_ string, _ int32, err error) { log.Print(err) })
		fetches.EachRecord(func(record *kgo.Record) {
			var paid payment
			check(json.Unmarshal(record.Value, &paid))
			must(database.ExecContext(ctx,
				"INSERT INTO accounts VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET cents = accounts.cents + EXCLUDED.cents",
				paid.Account, paid.Cents))
			value := must(json.Marshal(receipt{paid.ID, paid.Cents}))
			sent := client.ProduceSync(ctx, &kgo.Record{Topic: os.Getenv("RECEIPTS"), Key: record.Key, Value: value})
			check(sent.FirstErr())
		})
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			log.Print(err) // the group was rebalanced, and whoever has the partition now is given the records again
		}
	}
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
