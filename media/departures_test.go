package media

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// A report is about what left by this path and was not reported before, and its
// round trip is that of its last packet, whatever that was.
func TestDepartures(t *testing.T) {
	var d departures
	now := time.Unix(1000, 0)
	report := func(seq uint16, arrived bool, want pathReport, trip time.Duration) {
		t.Helper()
		want.at = now
		r, rtt, known := d.reported(reportOf(seq, arrived), now)
		if r != want || rtt != trip || known != (trip > 0) {
			t.Errorf("a report of packet %d: %+v and %v, want %+v and %v", seq, r, rtt, want, trip)
		}
	}
	d.sent(6, 0, now) // sound
	d.sent(7, 8000, now)
	d.sent(8, 4000, now)
	d.sent(9, 4000, now)
	now = now.Add(100 * time.Millisecond)
	report(6, true, pathReport{}, 100*time.Millisecond)
	report(7, true, pathReport{packets: 1, received: 8000}, 100*time.Millisecond)
	report(7, true, pathReport{}, 100*time.Millisecond) // once more
	report(8, false, pathReport{packets: 1, lost: 1}, 100*time.Millisecond)
	report(10, true, pathReport{}, 0) // never sent
	d.moved()
	report(9, true, pathReport{}, 0)
}

// What a peer says costs little, however many packets it is about: 30 times as
// many as are remembered cost about what those cost.
func TestDeparturesReadsReportsInTime(t *testing.T) {
	about := func(packets int) *rtcp.TransportLayerCC {
		cc := &rtcp.TransportLayerCC{PacketStatusCount: uint16(packets)}
		for left := packets; left > 0; left -= 8191 {
			cc.PacketChunks = append(cc.PacketChunks, &rtcp.RunLengthChunk{RunLength: uint16(min(left, 8191))})
		}
		return cc
	}
	var d departures
	least := func(cc *rtcp.TransportLayerCC) time.Duration { // the machine may be busy now and then
		least := time.Hour
		for range 20 {
			began := time.Now()
			for range 100 {
				d.reported(cc, began)
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	known, hostile := least(about(maxDepartures)), least(about(65535))
	if hostile > 5*known {
		t.Errorf("reports about 65535 packets take %v, those about as many as are remembered %v", hostile, known)
	}
}

// reportOf is a report about one packet.
func reportOf(seq uint16, arrived bool) *rtcp.TransportLayerCC {
	symbol := uint16(rtcp.TypeTCCPacketNotReceived)
	if arrived {
		symbol = rtcp.TypeTCCPacketReceivedSmallDelta
	}
	return &rtcp.TransportLayerCC{
		BaseSequenceNumber: seq, PacketStatusCount: 1,
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: symbol, RunLength: 1}},
	}
}

func TestArrivals(t *testing.T) {
	cc := &rtcp.TransportLayerCC{
		PacketStatusCount: 9,
		PacketChunks: []rtcp.PacketStatusChunk{
			&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedLargeDelta, RunLength: 2},
			&rtcp.StatusVectorChunk{SymbolList: []uint16{rtcp.TypeTCCPacketNotReceived, rtcp.TypeTCCPacketReceivedSmallDelta}},
			&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketNotReceived, RunLength: 4},
			&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 8000}, // more than there are
		},
	}
	want := []bool{true, true, false, true, false, false, false, false, true}
	if got := slices.Collect(arrivals(cc)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
