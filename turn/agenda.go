package turn

import (
	"container/heap"
	"math"
	"sync"
	"time"
)

// never is a time that does not come.
const never = math.MaxInt64

// An agenda ends what is over: one timer and one goroutine for all allocations.
// Times are those of Server.now.
type agenda struct {
	now func() int64

	mu    sync.Mutex
	heap  entries
	woken chan struct{} // something became the first
}

type entries []*allocation

func (e entries) Len() int           { return len(e) }
func (e entries) Less(i, j int) bool { return e[i].due < e[j].due }
func (e entries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].place, e[j].place = i+1, j+1
}

func (e *entries) Push(x any) {
	a := x.(*allocation)
	a.place = len(*e) + 1
	*e = append(*e, a)
}

func (e *entries) Pop() any {
	last := len(*e) - 1
	a := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	a.place = 0
	return a
}

func newAgenda(now func() int64) *agenda { return &agenda{now: now, woken: make(chan struct{}, 1)} }

// at sees to it that a.expire is called at due; never takes it off. A later
// time is noted only when the earlier one has come, which makes a refresh cheap.
func (g *agenda) at(a *allocation, due int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case due == never:
		if a.place > 0 {
			heap.Remove(&g.heap, a.place-1)
		}
		return
	case a.place == 0:
		a.due = due
		heap.Push(&g.heap, a)
	case due < a.due:
		a.due = due
		heap.Fix(&g.heap, a.place-1)
	default:
		return
	}
	if g.heap[0] == a {
		select {
		case g.woken <- struct{}{}:
		default:
		}
	}
}

// next takes an allocation that is due off, or says how long to wait.
func (g *agenda) next() (a *allocation, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.heap) == 0 {
		return nil, math.MaxInt64
	}
	if wait := g.heap[0].due - g.now(); wait > 0 {
		return nil, time.Duration(wait)
	}
	return heap.Pop(&g.heap).(*allocation), 0
}

// run works until done is closed.
func (g *agenda) run(done <-chan struct{}) {
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	for {
		a, wait := g.next()
		if a != nil {
			if due := a.expire(g.now()); due != never {
				g.at(a, due)
				if a.ended() { // meanwhile
					g.at(a, never)
				}
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-g.woken:
		case <-done:
			return
		}
	}
}
