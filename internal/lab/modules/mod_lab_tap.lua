-- Writes every stanza between clients and the server to lab_tap_file, one a line, behind the time, the direction and the client:
--   1763700000.123 in alice@lab.test/x <message .../>
local filters = require "util.filters";
local now = require "util.time".now;

local file = assert(io.open(module:get_option_string("lab_tap_file"), "a"));
file:setvbuf("line");

local function tap(session)
	if not session.type:find("^c2s") then return; end
	local function writer(direction)
		return function (stanza)
			local line = tostring(stanza):gsub("\n", "&#10;");
			file:write(string.format("%.3f %s %s %s\n", now(), direction, session.full_jid or session.username or "-", line));
			return stanza;
		end
	end
	filters.add_filter(session, "stanzas/in", writer("in"), 1000);
	filters.add_filter(session, "stanzas/out", writer("out"), -1000);
end

function module.load() filters.add_filter_hook(tap); end
function module.unload() filters.remove_filter_hook(tap); end
