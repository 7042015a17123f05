package signaling

import (
	"log/slog"
	"sync"
)

// maxRecords bounds the records not yet written.
const maxRecords = 1024

// A recorder writes to the History on one goroutine, so that a slow disk
// delays nobody's call.
type recorder struct {
	h    History
	log  *slog.Logger
	jobs chan func(History)
	wg   sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

func newRecorder(h History, log *slog.Logger) *recorder {
	r := &recorder{h: h, log: log, jobs: make(chan func(History), maxRecords)}
	if h != nil {
		r.wg.Go(func() {
			for job := range r.jobs {
				job(h)
			}
		})
	}
	return r
}

// post queues a job; false means that there is no History, no room, or no more time.
func (r *recorder) post(job func(History)) bool {
	if r.h == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	select {
	case r.jobs <- job:
		return true
	default:
		r.log.Error("call history is too slow, a record is lost")
		return false
	}
}

// close writes what is queued.
func (r *recorder) close() {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	if !closed {
		close(r.jobs)
	}
	r.wg.Wait()
}
