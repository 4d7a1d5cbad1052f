// The load generator of etcd's Go client, clientv3, for the rows in which callers share a client.
//
// It does what generator_main.ts does, with the same assignment, keys, values, warm-up and answer. Usage: clientv3
// <assignment as JSON>; prints the answer as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	dialTimeout = 10 * time.Second
	// A caller whose request failed rests so long, as in lib/loadgen/generator.ts.
	restAfterFailure = 10 * time.Millisecond
	// Requests under way while the keys are written for the first time.
	loadingSlots = 256
	// The buckets of lib/loadgen/histogram.ts: each doubling of microseconds has so many.
	steps     = 128
	stepBits  = 7
	maxMicros = math.MaxUint32
	buckets   = steps + (32-stepBits)*steps
)

type assignment struct {
	Addresses   []string `json:"addresses"`
	Connections int      `json:"connections"`
	Prefix      string   `json:"prefix"`
	LoadsKeys   bool     `json:"loadsKeys"`
	// Instead of the load: watchers of one key (watch.go).
	Watch *watchers `json:"watch"`
	// Or: listings of all keys (list.go).
	List *listing `json:"list"`
	Load struct {
		Clients    int                `json:"clients"`
		InFlight   int                `json:"inFlight"`
		Mix        map[string]float64 `json:"mix"`
		ValueBytes int                `json:"valueBytes"`
		KeyCount   int                `json:"keyCount"`
		WarmupMs   float64            `json:"warmupMs"`
		DurationMs float64            `json:"durationMs"`
	} `json:"load"`
}

type histogram struct {
	counts              [buckets]float64
	count               int
	sumMs, minMs, maxMs float64
}

func (h *histogram) record(duration time.Duration) {
	ms := float64(duration) / float64(time.Millisecond)
	h.counts[position(uint64(min(math.Round(ms*1000), maxMicros)))]++
	if h.count == 0 || ms < h.minMs {
		h.minMs = ms
	}
	h.count++
	h.sumMs += ms
	h.maxMs = max(h.maxMs, ms)
}

func (h *histogram) merge(other *histogram) {
	if other.count == 0 {
		return
	}
	for position, count := range other.counts {
		h.counts[position] += count
	}
	if h.count == 0 || other.minMs < h.minMs {
		h.minMs = other.minMs
	}
	h.count += other.count
	h.sumMs += other.sumMs
	h.maxMs = max(h.maxMs, other.maxMs)
}

func (h *histogram) document() map[string]any {
	filled := [][2]float64{}
	for position, count := range h.counts {
		if count > 0 {
			filled = append(filled, [2]float64{float64(position), count})
		}
	}
	return map[string]any{"buckets": filled, "sumMs": h.sumMs, "minMs": h.minMs, "maxMs": h.maxMs}
}

// The measurements of one caller.
type result struct {
	put, get  histogram
	errors    map[string]int
	sent      int
	lastEndAt time.Time
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: clientv3 <assignment as JSON>")
	}
	var work assignment
	if err := json.Unmarshal([]byte(os.Args[1]), &work); err != nil {
		return err
	}
	if work.Watch != nil {
		answer, err := watch(*work.Watch)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(answer)
	}
	if work.List != nil {
		answer, err := list(*work.List)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(answer)
	}
	clients := make([]*clientv3.Client, work.Connections)
	for position := range clients {
		// The leader only: requests that a follower forwards cost more.
		client, err := clientv3.New(clientv3.Config{Endpoints: work.Addresses[:1], DialTimeout: dialTimeout})
		if err != nil {
			return err
		}
		defer client.Close()
		clients[position] = client
	}
	value := valueOf(work.Load.ValueBytes)
	if work.LoadsKeys {
		if err := loadKeys(work, clients, value); err != nil {
			return err
		}
	}
	answer := measure(work, clients, value)
	return json.NewEncoder(os.Stdout).Encode(answer)
}

func measure(work assignment, clients []*clientv3.Client, value string) map[string]any {
	load := work.Load
	cpuBefore := cpuTime()
	startedAt := time.Now()
	countFrom := startedAt.Add(time.Duration(load.WarmupMs * float64(time.Millisecond)))
	endAt := countFrom.Add(time.Duration(load.DurationMs * float64(time.Millisecond)))
	results := make([]result, load.Clients*load.InFlight)
	var callers sync.WaitGroup
	for slot := range results {
		client := clients[slot/load.InFlight%len(clients)]
		callers.Go(func() { call(work, client, value, countFrom, endAt, &results[slot]) })
	}
	callers.Wait()
	elapsed := time.Since(startedAt)
	cpuShare := float64(cpuTime()-cpuBefore) / float64(elapsed)
	var put, get histogram
	sent, lastEndAt, errors := 0, endAt, map[string]int{}
	for position := range results {
		one := &results[position]
		put.merge(&one.put)
		get.merge(&one.get)
		sent += one.sent
		for code, count := range one.errors {
			errors[code] += count
		}
		if one.lastEndAt.After(lastEndAt) {
			lastEndAt = one.lastEndAt
		}
	}
	return map[string]any{
		"elapsedMs": float64(lastEndAt.Sub(countFrom)) / float64(time.Millisecond),
		"sent":      sent,
		"latency":   map[string]any{"put": put.document(), "get": get.document()},
		"errors":    errors,
		"generator": map[string]float64{"cpuShare": cpuShare, "lagP99Ms": 0, "lagMaxMs": 0},
	}
}

// Sends one request after the other until the end.
func call(
	work assignment, client *clientv3.Client, value string, countFrom, endAt time.Time, into *result,
) {
	into.errors = map[string]int{}
	putShare := work.Load.Mix["put"] / (work.Load.Mix["put"] + work.Load.Mix["get"])
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for now := time.Now(); now.Before(endAt); {
		startedAt := now
		key := keyOf(work.Prefix, random.IntN(work.Load.KeyCount))
		isPut := random.Float64() < putShare
		var err error
		if isPut {
			_, err = client.Put(context.Background(), key, value)
		} else {
			_, err = client.Get(context.Background(), key)
		}
		now = time.Now()
		into.sent++
		into.lastEndAt = now
		isCounted := !startedAt.Before(countFrom)
		switch {
		case err != nil:
			if isCounted {
				into.errors[err.Error()]++
			}
			time.Sleep(restAfterFailure)
			now = time.Now()
		case !isCounted:
		case isPut:
			into.put.record(now.Sub(startedAt))
		default:
			into.get.record(now.Sub(startedAt))
		}
	}
}

func loadKeys(work assignment, clients []*clientv3.Client, value string) error {
	var next atomic.Int64
	var failure atomic.Value
	var slots sync.WaitGroup
	for slot := range loadingSlots {
		client := clients[slot%len(clients)]
		slots.Go(func() {
			for {
				number := int(next.Add(1)) - 1
				if number >= work.Load.KeyCount {
					return
				}
				if _, err := client.Put(context.Background(), keyOf(work.Prefix, number), value); err != nil {
					failure.Store(err)
					return
				}
			}
		})
	}
	slots.Wait()
	if err, failed := failure.Load().(error); failed {
		return err
	}
	return nil
}

// Returns the bucket of a time, as lib/loadgen/histogram.ts does.
func position(micros uint64) int {
	if micros < steps {
		return int(micros)
	}
	shift := 0
	for micros>>shift >= 2*steps {
		shift++
	}
	return steps + shift*steps + int(micros>>shift) - steps
}

func keyOf(prefix string, number int) string {
	return fmt.Sprintf("%s%010d", prefix, number)
}

func valueOf(size int) string {
	value := make([]byte, size)
	for position := range value {
		value[position] = byte(position*167 + position>>8*31)
	}
	return string(value)
}

// Returns the CPU time of all threads so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
