// Listings of many keys, by pages and by RangeStream, while another client reads one key again and again.
package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// Puts of one transaction while the keys are loaded, and transactions under way.
	loadedTogether = 128
	loadSlots      = 16
	listPrefix     = "listed/"
	warmUpPages    = 100
	probeKey       = "probe"
	probeRest      = time.Millisecond
)

type listing struct {
	Addresses  []string `json:"addresses"`
	Keys       int      `json:"keys"`
	ValueBytes int      `json:"valueBytes"`
	PageKeys   int      `json:"pageKeys"`
	// How often the keys are listed by each.
	PageTurns   int `json:"pageTurns"`
	StreamTurns int `json:"streamTurns"`
}

type listed struct {
	perSecond     float64
	longestWaitMs float64
}

// Loads the keys, and lists them, first by pages.
func list(work listing) (map[string]any, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: work.Addresses[:1], DialTimeout: dialTimeout})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	// On a connection of its own.
	probing, err := clientv3.New(clientv3.Config{Endpoints: work.Addresses[:1], DialTimeout: dialTimeout})
	if err != nil {
		return nil, err
	}
	defer probing.Close()
	if err := loadListed(work, client); err != nil {
		return nil, err
	}
	if err := warmUp(work, client); err != nil {
		return nil, err
	}
	answer := map[string]any{}
	for _, way := range []struct {
		name  string
		turns int
		run   func(*clientv3.Client, listing) (int, error)
	}{{"pages", work.PageTurns, byPages}, {"stream", work.StreamTurns, byStream}} {
		perSecond, longestWaitMs := []float64{}, []float64{}
		for range way.turns {
			one, err := timed(work, client, probing, way.run)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", way.name, err)
			}
			perSecond = append(perSecond, one.perSecond)
			longestWaitMs = append(longestWaitMs, one.longestWaitMs)
		}
		answer[way.name+"PerSecond"] = perSecond
		answer[way.name+"LongestWaitMs"] = longestWaitMs
	}
	return answer, nil
}

// Lists all keys, and reads some pages, so that hot functions are compiled.
func warmUp(work listing, client *clientv3.Client) error {
	if _, err := byStream(client, work); err != nil {
		return err
	}
	for range warmUpPages {
		_, err := client.Get(context.Background(), listPrefix, clientv3.WithPrefix(),
			clientv3.WithLimit(int64(work.PageKeys)))
		if err != nil {
			return err
		}
	}
	return nil
}

func loadListed(work listing, client *clientv3.Client) error {
	value := valueOf(work.ValueBytes)
	var next atomic.Int64
	var failure atomic.Value
	var slots sync.WaitGroup
	for range loadSlots {
		slots.Go(func() {
			for failure.Load() == nil {
				from := int(next.Add(loadedTogether)) - loadedTogether
				if from >= work.Keys {
					return
				}
				puts := []clientv3.Op{}
				for number := from; number < min(from+loadedTogether, work.Keys); number++ {
					puts = append(puts, clientv3.OpPut(keyOf(listPrefix, number), value))
				}
				if _, err := client.Txn(context.Background()).Then(puts...).Commit(); err != nil {
					failure.Store(err)
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

func timed(
	work listing, client, probing *clientv3.Client, run func(*clientv3.Client, listing) (int, error),
) (listed, error) {
	ctx, stop := context.WithCancel(context.Background())
	longest := make(chan time.Duration)
	go func() {
		var most time.Duration
		for ctx.Err() == nil {
			startedAt := time.Now()
			if _, err := probing.Get(context.Background(), probeKey, clientv3.WithSerializable()); err == nil {
				most = max(most, time.Since(startedAt))
			}
			time.Sleep(probeRest)
		}
		longest <- most
	}()
	startedAt := time.Now()
	count, err := run(client, work)
	elapsed := time.Since(startedAt)
	stop()
	waited := <-longest
	if err == nil && count != work.Keys {
		err = fmt.Errorf("%d keys instead of %d", count, work.Keys)
	}
	return listed{float64(count) / elapsed.Seconds(), float64(waited) / float64(time.Millisecond)}, err
}

func byPages(client *clientv3.Client, work listing) (int, error) {
	key, end := listPrefix, clientv3.GetPrefixRangeEnd(listPrefix)
	count, revision := 0, int64(0)
	for {
		page, err := client.Get(context.Background(), key, clientv3.WithRange(end),
			clientv3.WithLimit(int64(work.PageKeys)), clientv3.WithRev(revision))
		if err != nil {
			return count, err
		}
		count += len(page.Kvs)
		if !page.More {
			return count, nil
		}
		revision = page.Header.Revision
		key = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

func byStream(client *clientv3.Client, _ listing) (int, error) {
	answers, err := client.GetStream(context.Background(), listPrefix, clientv3.WithPrefix())
	if err != nil {
		return 0, err
	}
	count := 0
	for answer := range answers {
		if err := answer.Err(); err != nil {
			return count, err
		}
		count += len(answer.RangeResponse.Kvs)
	}
	return count, nil
}
