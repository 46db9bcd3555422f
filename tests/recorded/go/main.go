// A small program on go-redis; record.py records what it says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	options, err := redis.ParseURL(os.Getenv("REDIS"))
	must(err)
	client, ctx := redis.NewClient(options), context.Background()
	defer client.Close()
	must(client.SetNX(ctx, "claim:go", "token", time.Minute).Err())
	must(client.Get(ctx, "claim:go").Err())
	if err := client.Get(ctx, "none").Err(); !errors.Is(err, redis.Nil) {
		must(fmt.Errorf("a key that is not there: %w", err))
	}
	must(client.HSet(ctx, "hash:go", "one", 1, "two", 2).Err())
	must(client.HGetAll(ctx, "hash:go").Err())
	must(client.XAdd(ctx, &redis.XAddArgs{Stream: "stream:go", Values: []string{"field", "value"}}).Err())
	must(client.XRead(ctx, &redis.XReadArgs{Streams: []string{"stream:go", "0"}, Count: 5, Block: -1}).Err())
	_, err = client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for n := range 20 {
			pipe.Set(ctx, fmt.Sprintf("key:go:%d", n), n, 0)
		}
		return nil
	})
	must(err)
	_, err = client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Incr(ctx, "count:go")
		pipe.Expire(ctx, "count:go", time.Minute)
		return nil
	})
	must(err)
	must(redis.NewScript("return {KEYS[1], ARGV[1], 7}").Eval(ctx, client, []string{"claim:go"}, "token").Err())
	// A script that the server does not have yet: EVALSHA, NOSCRIPT, EVAL.
	must(redis.NewScript("return redis.call('DEL', KEYS[1])").Run(ctx, client, []string{"claim:go"}).Err())
	subscription := client.Subscribe(ctx, "channel:go")
	_, err = subscription.Receive(ctx)
	must(err)
	must(client.Publish(ctx, "channel:go", "hello").Err())
	_, err = subscription.ReceiveMessage(ctx)
	must(err)
	must(subscription.Close())
	info, _ := debug.ReadBuildInfo()
	for _, part := range info.Deps {
		if part.Path == "github.com/redis/go-redis/v9" {
			fmt.Println("go-redis", part.Version)
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
