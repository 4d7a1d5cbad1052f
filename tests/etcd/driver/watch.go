// Watches of clientv3 while the cluster is disturbed and compacted: no event is missing, repeated or out of order.
package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type keyValue = mvccpb.KeyValue

const (
	watchWriters  = 2
	watchPrefix   = "watched/"
	watchKeys     = 5
	compactEvery  = 500 * time.Millisecond
	finishTimeout = 30 * time.Second
)

// What one watcher has seen.
type watcher struct {
	recipes *recipes
	name    string
	mutex   sync.Mutex
	kvs     map[string]*keyValue
	// The greatest revision of an event.
	seen atomic.Int64
}

func (r *recipes) startWatch() error {
	client, err := r.client(0)
	if err != nil {
		return err
	}
	ctx, cancel := r.operation()
	defer cancel()
	first, err := client.Get(ctx, watchPrefix)
	if err != nil {
		return err
	}
	from := first.Header.Revision + 1
	options := map[string][]clientv3.OpOption{
		"plain":     {},
		"previous":  {clientv3.WithPrevKV()},
		"fragments": {clientv3.WithFragment(), clientv3.WithProgressNotify()},
	}
	watchers := []*watcher{}
	done, finish := context.WithCancel(r.hard)
	for name, more := range options {
		w := &watcher{recipes: r, name: name, kvs: map[string]*keyValue{}}
		w.seen.Store(from - 1)
		watchers = append(watchers, w)
		own, err := r.client(len(watchers))
		if err != nil {
			finish()
			return err
		}
		r.waiting.Go(func() {
			defer own.Close()
			w.watch(done, own, append(more, clientv3.WithPrefix(), clientv3.WithRev(from)))
		})
	}
	var writing atomic.Int64
	writing.Store(watchWriters)
	r.waiting.Go(func() {
		defer client.Close()
		r.compact(client, watchers)
	})
	return r.start(watchWriters, func(number int, client *clientv3.Client) {
		r.writeWatched(number, client)
		if writing.Add(-1) == 0 {
			r.checkWatchers(client, watchers)
			finish()
		}
	})
}

func (r *recipes) writeWatched(number int, client *clientv3.Client) {
	for written := 0; r.rest(restBetween); written++ {
		key := watchPrefix + strconv.Itoa(rand.IntN(watchKeys))
		value := fmt.Sprintf("%d.%d", number, written)
		ctx, cancel := r.operation()
		var err error
		switch dice := rand.IntN(10); {
		case dice < 7:
			_, err = client.Put(ctx, key, value)
		case dice < 9:
			_, err = client.Delete(ctx, key)
		default:
			_, err = client.Txn(ctx).Then(
				clientv3.OpPut(watchPrefix+"x", value), clientv3.OpPut(watchPrefix+"y", value),
			).Commit()
		}
		cancel()
		if err == nil {
			r.counts["watch"].Add(1)
		}
	}
}

// Compacts what all watchers have seen.
func (r *recipes) compact(client *clientv3.Client, watchers []*watcher) {
	for r.rest(compactEvery) {
		least := watchers[0].seen.Load()
		for _, one := range watchers {
			least = min(least, one.seen.Load())
		}
		ctx, cancel := r.operation()
		if _, err := client.Compact(ctx, least); err == nil {
			r.counts["compactions"].Add(1)
		}
		cancel()
	}
}

func (w *watcher) watch(ctx context.Context, client *clientv3.Client, options []clientv3.OpOption) {
	for answer := range client.Watch(ctx, watchPrefix, options...) {
		if err := answer.Err(); err != nil && ctx.Err() == nil {
			w.problem("ended: %v", err)
			return
		}
		for _, event := range answer.Events {
			w.take(event, answer.Header.Revision)
		}
	}
	if ctx.Err() == nil {
		w.problem("ended without an error")
	}
}

func (w *watcher) problem(format string, values ...any) {
	w.recipes.problem("watch "+w.name+": "+format, values...)
}

// Compares an event with those before.
func (w *watcher) take(event *clientv3.Event, ofHeader int64) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.recipes.counts["watched"].Add(1)
	kv := event.Kv
	// The state is complete before it is read.
	defer w.seen.Store(kv.ModRevision)
	key := string(kv.Key)
	before := w.kvs[key]
	if kv.ModRevision > ofHeader {
		w.problem("revision %d in a message of revision %d", kv.ModRevision, ofHeader)
	}
	if kv.ModRevision < w.seen.Load() || (before != nil && kv.ModRevision <= before.ModRevision) {
		w.problem("revision %d of %s after %d", kv.ModRevision, key, w.seen.Load())
	}
	if event.Type == clientv3.EventTypeDelete {
		if before == nil {
			w.problem("%s is deleted at %d, and was not there", key, kv.ModRevision)
		}
		delete(w.kvs, key)
		return
	}
	switch {
	case before == nil && (kv.Version != 1 || kv.CreateRevision != kv.ModRevision):
		w.problem("%s is new at %d, with version %d", key, kv.ModRevision, kv.Version)
	case before != nil && (kv.Version != before.Version+1 || kv.CreateRevision != before.CreateRevision):
		w.problem("%s has version %d at %d, after %d", key, kv.Version, kv.ModRevision, before.Version)
	case before != nil && event.PrevKv != nil && string(event.PrevKv.Value) != string(before.Value):
		w.problem("%s had %s before %d, not %s", key, before.Value, kv.ModRevision, event.PrevKv.Value)
	}
	w.kvs[key] = kv
}

// Every watcher comes to the state that a read shows.
func (r *recipes) checkWatchers(client *clientv3.Client, watchers []*watcher) {
	ctx, cancel := context.WithTimeout(r.hard, finishTimeout)
	defer cancel()
	// The last event of all.
	last, err := client.Put(ctx, watchPrefix+"last", "")
	if err != nil {
		r.problem("the last write failed: %v", err)
		return
	}
	state, err := client.Get(ctx, watchPrefix, clientv3.WithPrefix())
	if err != nil {
		r.problem("the last read failed: %v", err)
		return
	}
	for _, one := range watchers {
		for one.seen.Load() < last.Header.Revision && ctx.Err() == nil {
			time.Sleep(restBetween)
		}
		if ctx.Err() != nil {
			one.problem("has seen revision %d of %d", one.seen.Load(), last.Header.Revision)
			continue
		}
		one.mutex.Lock()
		if len(one.kvs) != len(state.Kvs) {
			one.problem("has %d keys of %d", len(one.kvs), len(state.Kvs))
		}
		for _, kv := range state.Kvs {
			if own := one.kvs[string(kv.Key)]; own == nil || own.ModRevision != kv.ModRevision {
				one.problem("has another state of %s", kv.Key)
			}
		}
		one.mutex.Unlock()
	}
}
