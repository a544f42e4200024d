// A client of ws for an echo server. Arguments: the URL, "deflate" or "plain", and for wss the file of the server's
// certificate. Its last line is "ok".
const WebSocket = require('ws');
const ca = process.argv[4] && require('fs').readFileSync(process.argv[4]);
const deflate = process.argv[3] === 'deflate';
const c = new WebSocket(process.argv[2], ['other', 'chat'], { perMessageDeflate: deflate ? { threshold: 0 } : false, maxPayload: 64 << 20, ca });
const fail = (what) => { console.log('failed: ' + what); process.exit(1); };
const messages = [Buffer.alloc(0), 'hello', 'κόσμε \u{1f600}', Buffer.from([0, 255, 1, 254])];
for (const n of [125, 126, 127, 65535, 65536, 1 << 20]) {
  messages.push('x'.repeat(n));
  messages.push(Buffer.alloc(n, n & 255));
}
let at = 0, ponged = false;
c.on('open', () => {
  if (c.protocol !== 'chat') fail('protocol ' + c.protocol);
  if (deflate !== c.extensions.includes('permessage-deflate')) fail('extensions ' + c.extensions);
  c.ping('are you there?');
  for (const m of messages) c.send(m);
  c.send('frag', { fin: false });
  c.send('ment', { fin: true });
  messages.push('fragment');
});
c.on('pong', (p) => { ponged = p.toString() === 'are you there?'; });
c.on('message', (data, binary) => {
  const want = messages[at++];
  if (binary !== Buffer.isBuffer(want)) fail('kind of message ' + at);
  if (Buffer.compare(data, Buffer.from(want)) !== 0) fail('message ' + at + ' of ' + data.length + ' bytes');
  if (at === messages.length) c.close(4000, 'enough');
});
c.on('error', fail);
c.on('close', (code) => {
  if (code !== 4000 || !ponged || at !== messages.length) fail('the end: ' + code + ', ' + ponged + ', ' + at);
  console.log('ok');
});
setTimeout(() => fail('time'), 25000).unref();
