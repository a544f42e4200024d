// An echo server of npm's ws. Arguments: "deflate" or "plain".
const { WebSocketServer } = require('ws');
const deflate = process.argv[2] === 'deflate';
const server = new WebSocketServer({
  host: '127.0.0.1', port: 0, maxPayload: 64 << 20, perMessageDeflate: deflate ? { threshold: 0 } : false,
  handleProtocols: (offered) => offered.has('chat') ? 'chat' : false,
});
server.on('listening', () => console.log('port ' + server.address().port));
server.on('connection', (c) => {
  c.on('message', (data, binary) => c.send(data, { binary }));
  c.on('close', (code, reason) => console.log('closed ' + code + ' ' + reason));
  c.on('error', (e) => console.log('error ' + e));
});
