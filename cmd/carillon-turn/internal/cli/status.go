package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/admin"
)

type statusCmd struct {
	Admin string        `default:"127.0.0.1:9641" placeholder:"HOST:PORT" help:"Where the relay serves its status."`
	JSON  bool          `name:"json" help:"Print everything that the relay tells, as JSON."`
	Watch time.Duration `placeholder:"TIME" help:"Print it again every so often."`
}

const maxStatus = 64 << 20

// Run asks a running relay.
func (s *statusCmd) Run(ctx context.Context, env Env) error {
	if _, _, err := net.SplitHostPort(s.Admin); err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	for {
		if err := s.once(ctx, env); err != nil {
			return err
		}
		if s.Watch <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.Watch):
		}
	}
}

func (s *statusCmd) once(ctx context.Context, env Env) error {
	if s.JSON {
		var all json.RawMessage
		if err := s.ask(ctx, "/status", &all); err != nil {
			return err
		}
		_, err := fmt.Fprintf(env.Stdout, "%s\n", all)
		return err
	}
	var sum admin.Summary
	if err := s.ask(ctx, "/summary", &sum); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%s for %v: %d allocations, %s to clients, %s to peers, %d refused, %d failed logins\n", sum.State,
		sum.Now.Sub(sum.Started).Round(time.Second), sum.Allocations, bitrate(sum.Rates.DownBits), bitrate(sum.Rates.UpBits), sum.Refused, sum.FailedLogin)
	for _, r := range sum.Refusals {
		fmt.Fprintf(env.Stdout, "  refused %d times: %s\n", r.Count, r.Reason)
	}
	w := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	if len(sum.Busiest) > 0 {
		fmt.Fprintln(w, "USER\tBY\tRELAYED\tPEERS\tAGE\tTO CLIENT\tTO PEERS\tBYTES\tDROPPED")
	}
	for _, a := range sum.Busiest {
		fmt.Fprintf(w, "%q\t%s\t%s\t%d\t%v\t%s\t%s\t%d\t%d\n", a.User, a.Transport, a.Relayed, a.Peers,
			time.Duration(a.Seconds*float64(time.Second)).Round(time.Second), bitrate(a.DownBits), bitrate(a.UpBits), a.Bytes, a.Dropped)
	}
	return w.Flush()
}

func (s *statusCmd) ask(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.Admin+path, nil)
	if err != nil {
		return fmt.Errorf("ask relay: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &hinted{fmt.Errorf("ask relay: %w", err), `the relay serves its status where "admin" in its configuration says`}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask relay: %s", resp.Status)
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxStatus)).Decode(answer); err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	return nil
}

// bitrate is readable: 3.4 Mbit/s.
func bitrate(bits float64) string {
	unit := 0
	for ; bits >= 1000 && unit < 3; unit++ {
		bits /= 1000
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", bits), ".0") + " " + []string{"bit/s", "kbit/s", "Mbit/s", "Gbit/s"}[unit]
}
