// A recorded history of clientv3's puts, gets, ranges and transactions, in the form of lib/lincheck.
package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	historyClients = 5
	historyPrefix  = "history/"
	// Keeps the time of the check in bounds.
	maxOperations = 8_000
)

var historyKeys = []string{"a", "b", "c"}

type object = map[string]any
type operation = object

type history struct {
	mutex      sync.Mutex
	operations []operation
	startedAt  time.Time
}

func (r *recipes) startHistory() error {
	r.history.startedAt = time.Now()
	r.history.operations = []operation{}
	return r.start(historyClients, func(number int, client *clientv3.Client) {
		for written := 0; r.history.length() < maxOperations; written++ {
			r.operate(number, client, fmt.Sprintf("%d.%d", number, written))
			r.counts["history"].Add(1)
			if !r.rest(restBetween) {
				return
			}
		}
	})
}

func (h *history) length() int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return len(h.operations)
}

func (h *history) now() float64 {
	return float64(time.Since(h.startedAt)) / float64(time.Millisecond)
}

// Records an operation. Its client may have given it up: then it has no answer.
func (h *history) record(client int, calledAt float64, one operation, result object, err error) {
	one["client"] = client
	one["calledAt"] = calledAt
	one["returnedAt"] = h.now()
	one["outcome"] = object{"kind": "unknown"}
	if err == nil {
		one["outcome"] = object{"kind": "answered", "result": result}
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.operations = append(h.operations, one)
}

func entryOf(kv *keyValue) object {
	return object{
		"value": string(kv.Value), "createRevision": kv.CreateRevision, "modRevision": kv.ModRevision, "version": kv.Version,
	}
}

func (r *recipes) operate(number int, client *clientv3.Client, value string) {
	key := historyKeys[rand.IntN(len(historyKeys))]
	ctx, cancel := r.operation()
	defer cancel()
	h := &r.history
	calledAt := h.now()
	switch dice := rand.IntN(10); {
	case dice < 2:
		answer, err := client.Get(ctx, historyPrefix, clientv3.WithPrefix())
		var result object
		if err == nil {
			entries := []object{}
			for _, kv := range answer.Kvs {
				entry := entryOf(kv)
				entry["key"] = string(kv.Key[len(historyPrefix):])
				entries = append(entries, entry)
			}
			result = object{"entries": entries, "more": false, "revision": nil}
		}
		all := object{"prefix": "", "start": nil, "end": nil, "after": nil, "reverse": false}
		h.record(number, calledAt, operation{"kind": "list", "range": all, "limit": len(historyKeys) + 1}, result, err)
	case dice < 4:
		answer, err := client.Put(ctx, historyPrefix+key, value)
		var result object
		if err == nil {
			result = object{"revision": answer.Header.Revision}
		}
		h.record(number, calledAt, operation{"kind": "put", "key": key, "value": value}, result, err)
	case dice < 5:
		answer, err := client.Delete(ctx, historyPrefix+key)
		var result object
		if err == nil {
			result = object{"deleted": answer.Deleted > 0, "revision": nil}
		}
		h.record(number, calledAt, operation{"kind": "delete", "key": key}, result, err)
	default:
		answer, err := client.Get(ctx, historyPrefix+key)
		if err != nil {
			return
		}
		r.recordGet(number, calledAt, key, answer)
		r.compareAndSet(number, client, key, value, answer)
	}
}

func (r *recipes) recordGet(number int, calledAt float64, key string, answer *clientv3.GetResponse) {
	var result object
	if len(answer.Kvs) > 0 {
		result = entryOf(answer.Kvs[0])
	}
	r.history.record(number, calledAt, operation{"kind": "get", "key": key}, result, nil)
}

// Puts or deletes a key if it has not changed since it was read.
func (r *recipes) compareAndSet(
	number int, client *clientv3.Client, key, value string, read *clientv3.GetResponse,
) {
	ctx, cancel := r.operation()
	defer cancel()
	revision := int64(0)
	if len(read.Kvs) > 0 {
		revision = read.Kvs[0].ModRevision
	}
	change := clientv3.OpPut(historyPrefix+key, value)
	mutation := object{"kind": "put", "key": key, "value": value}
	if revision > 0 && rand.IntN(5) == 0 {
		change = clientv3.OpDelete(historyPrefix + key)
		mutation = object{"kind": "delete", "key": key}
	}
	calledAt := r.history.now()
	answer, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(historyPrefix+key), "=", revision)).Then(change).Commit()
	var result object
	if err == nil {
		result = object{"succeeded": answer.Succeeded, "failedChecks": []int{0}, "revision": nil}
		if answer.Succeeded {
			result["failedChecks"], result["revision"] = []int{}, answer.Header.Revision
		}
	}
	one := operation{
		"kind":      "transaction",
		"checks":    []object{{"kind": "modRevision", "key": key, "modRevision": revision}},
		"mutations": []object{mutation},
	}
	r.history.record(number, calledAt, one, result, err)
}
