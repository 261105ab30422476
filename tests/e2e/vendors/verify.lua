-- Verify a token as Prosody does: TOKEN SECRET ISSUER AUDIENCE. Print "ok", or the reason.
local folder = arg[0]:match("^(.*)/") or "."
package.path = folder .. "/?.lua;/usr/share/lua/5.2/?.lua;" .. package.path
local claims, problem = require("luajwtjitsi").verify(arg[1], "HS256", arg[2], { arg[3] }, { arg[4] })
print(claims and "ok" or problem)
