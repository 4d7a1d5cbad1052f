// The recipes of clientv3's package concurrency: a mutex, an election, software transactional memory.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const (
	contenders    = 3
	sessionTTL    = 10
	mutexName     = "mutex"
	counterKey    = "counter"
	electionName  = "election"
	lastLeaderKey = "last leader"
	accounts      = 5
	startBalance  = 100
)

// Runs `use` with a session again and again; one that fails is replaced.
func (r *recipes) withSessions(client *clientv3.Client, use func(ctx context.Context, session *concurrency.Session) error) {
	for r.ctx.Err() == nil {
		session, err := concurrency.NewSession(client, concurrency.WithTTL(sessionTTL), concurrency.WithContext(r.hard))
		if err != nil {
			r.rest(restBetween)
			continue
		}
		// Waiting for a lock ends with the test, or with the session.
		ctx, cancel := context.WithCancel(r.ctx)
		go func() {
			<-session.Done()
			cancel()
		}()
		for err == nil && ctx.Err() == nil {
			err = use(ctx, session)
			r.rest(restBetween)
		}
		ending, endingCancel := r.operation()
		_, _ = client.Revoke(ending, session.Lease())
		endingCancel()
		session.Orphan()
		cancel()
	}
}

// Contenders add to a counter that they read before, each while it has the mutex.
func (r *recipes) startMutex() error {
	var acknowledged, unknown atomic.Int64
	var remaining atomic.Int64
	remaining.Store(contenders)
	return r.start(contenders, func(_ int, client *clientv3.Client) {
		r.withSessions(client, func(ctx context.Context, session *concurrency.Session) error {
			mutex := concurrency.NewMutex(session, mutexName)
			if err := mutex.Lock(ctx); err != nil {
				return err
			}
			operation, cancel := r.operation()
			defer cancel()
			defer mutex.Unlock(operation)
			answer, err := client.Get(operation, counterKey)
			if err != nil {
				return err
			}
			value := 0
			if len(answer.Kvs) > 0 {
				value, _ = strconv.Atoi(string(answer.Kvs[0].Value))
			}
			written, err := client.Txn(operation).If(mutex.IsOwner()).
				Then(clientv3.OpPut(counterKey, strconv.Itoa(value+1))).Commit()
			switch {
			case err != nil:
				unknown.Add(1)
				return err
			case written.Succeeded:
				acknowledged.Add(1)
				r.counts["mutex"].Add(1)
			}
			return nil
		})
		if remaining.Add(-1) == 0 {
			r.checkCounter(client, acknowledged.Load(), unknown.Load())
		}
	})
}

func (r *recipes) checkCounter(client *clientv3.Client, acknowledged, unknown int64) {
	answer, err := client.Get(r.hard, counterKey)
	if err != nil || len(answer.Kvs) == 0 {
		r.problem("the counter can't be read: %v", err)
		return
	}
	value, _ := strconv.ParseInt(string(answer.Kvs[0].Value), 10, 64)
	if value < acknowledged || value > acknowledged+unknown {
		r.problem("the counter is %d after %d additions and %d of unknown outcome", value, acknowledged, unknown)
	}
}

// Candidates lead one after the other; each is newer than the one before.
func (r *recipes) startElection() error {
	return r.start(contenders, func(number int, client *clientv3.Client) {
		r.withSessions(client, func(ctx context.Context, session *concurrency.Session) error {
			election := concurrency.NewElection(session, electionName)
			if err := election.Campaign(ctx, strconv.Itoa(number)); err != nil {
				return err
			}
			operation, cancel := r.operation()
			defer cancel()
			defer election.Resign(operation)
			isLeader := clientv3.Compare(clientv3.CreateRevision(election.Key()), "=", election.Rev())
			written, err := client.Txn(operation).If(isLeader).
				Then(clientv3.OpPut(lastLeaderKey, strconv.FormatInt(election.Rev(), 10), clientv3.WithPrevKV())).Commit()
			if err != nil {
				return err
			}
			if !written.Succeeded {
				return errors.New("the leadership was lost")
			}
			if before := written.Responses[0].GetResponsePut().PrevKv; before != nil {
				last, _ := strconv.ParseInt(string(before.Value), 10, 64)
				// A candidate whose Resign failed leads again under the same revision.
				if last > election.Rev() {
					r.problem("the leader of revision %d came after that of %d", election.Rev(), last)
				}
			}
			r.counts["election"].Add(1)
			return nil
		})
	})
}

// Clients move money between accounts; its sum stays.
func (r *recipes) startSTM() error {
	account := func(number int) string { return fmt.Sprintf("account/%d", number) }
	balance := func(stm concurrency.STM, key string) int {
		value, err := strconv.Atoi(stm.Get(key))
		if err != nil {
			return startBalance
		}
		return value
	}
	return r.start(contenders, func(_ int, client *clientv3.Client) {
		for {
			ctx, cancel := r.operation()
			from, to := account(rand.IntN(accounts)), account(rand.IntN(accounts))
			sum := 0
			_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
				if from != to {
					amount := rand.IntN(10)
					stm.Put(from, strconv.Itoa(balance(stm, from)-amount))
					stm.Put(to, strconv.Itoa(balance(stm, to)+amount))
				}
				sum = 0
				for number := range accounts {
					sum += balance(stm, account(number))
				}
				return nil
			}, concurrency.WithAbortContext(ctx), concurrency.WithIsolation(concurrency.SerializableSnapshot))
			cancel()
			if err == nil {
				r.counts["stm"].Add(1)
				if sum != accounts*startBalance {
					r.problem("the accounts have %d together", sum)
				}
			}
			if !r.rest(restBetween) {
				return
			}
		}
	})
}
