/* SPDX-License-Identifier: MPL-2.0 */
/* zyre.js as the tests of this directory use it: peers of one process, told on standard input what
 * to do, one JSON array a line, and telling on standard output what happened, one JSON object a line.
 *
 * Usage: node peer.js DIRECTORY_WITH_node_modules */
'use strict';

const path = require('path');
const readline = require('readline');

const Zyre = require(path.join(process.argv[2], 'node_modules', 'zyre.js'));
const peers = {};

function tell(peer, event, more = {}) {
  process.stdout.write(`${JSON.stringify({ peer, event, ...more })}\n`);
}

function listen(name, zyre) {
  zyre.on('connect', (id, who, headers) => tell(name, 'connect', { id, who, headers }));
  zyre.on('disconnect', (id, who) => tell(name, 'disconnect', { id, who }));
  zyre.on('expired', (id, who) => tell(name, 'expired', { id, who }));
  zyre.on('join', (id, who, group) => tell(name, 'join', { id, who, group }));
  zyre.on('leave', (id, who, group) => tell(name, 'leave', { id, who, group }));
  zyre.on('whisper', (id, who, text) => tell(name, 'whisper', { id, who, text: String(text) }));
}

const commands = {
  async start(name, options) {
    peers[name] = new Zyre({ name, ...options });
    listen(name, peers[name]);
    await peers[name].start();
    tell(name, 'started', { id: peers[name].getIdentity() });
  },
  async stop(name) {
    await peers[name].stop();
    delete peers[name];
    tell(name, 'stopped');
  },
  join(name, group) { peers[name].join(group); },
  leave(name, group) { peers[name].leave(group); },
  shout(name, group, text) { peers[name].shout(group, text); },
  /* In bites, so that the sockets are served in between. */
  async whisper(name, to, text, times = 1) {
    for (let left = times; left > 0; left -= 500) {
      for (let i = 0; i < Math.min(left, 500); i += 1) peers[name].whisper(to, text);
      await new Promise((done) => setTimeout(done, 1));
    }
    tell(name, 'whispered', { times });
  },
  peers(name) { tell(name, 'peers', { peers: peers[name].getPeers() }); },
};

/* One after another: a start has ended before the next command is read. */
let last = Promise.resolve();
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, name, ...rest] = JSON.parse(line);
  last = last.then(() => commands[command](name, ...rest))
    .catch((error) => tell(name, 'error', { text: String(error) }));
}).on('close', () => process.exit(0));
