package stream

import "sync"

// memoryPins serve when the caller keeps none: they protect reconnections.
type memoryPins struct {
	mu   sync.Mutex
	pins map[string]string
}

func (p *memoryPins) Load(account string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pins[account], nil
}

func (p *memoryPins) Store(account, mechanism string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pins == nil {
		p.pins = map[string]string{}
	}
	p.pins[account] = mechanism
	return nil
}
