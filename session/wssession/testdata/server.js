// An echo server of ws. Arguments: "deflate" or "plain", and for wss the files of a certificate and its key.
const { WebSocketServer } = require('ws');
const deflate = process.argv[2] === 'deflate';
const { readFileSync } = require('fs');
const [certificate, key] = process.argv.slice(3);
const http = certificate
  ? require('https').createServer({ cert: readFileSync(certificate), key: readFileSync(key) })
  : require('http').createServer();
const server = new WebSocketServer({
  server: http, maxPayload: 64 << 20, perMessageDeflate: deflate ? { threshold: 0 } : false,
  handleProtocols: (offered) => offered.has('chat') ? 'chat' : false,
});
http.listen(0, '127.0.0.1', () => console.log('port ' + http.address().port));
server.on('connection', (c) => {
  c.on('message', (data, binary) => c.send(data, { binary }));
  c.on('close', (code, reason) => console.log('closed ' + code + ' ' + reason));
  c.on('error', (e) => console.log('error ' + e));
});
