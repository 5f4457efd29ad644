/* client_js.mjs - the cases of test_client_js.py: node client_js.mjs GUESTD.MJS CASE ENDPOINT [ARGUMENT] */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import net from 'node:net';

const [module, name, endpoint, argument] = process.argv.slice(2);
const sdk = await import(module);

/* Both outputs, byte for byte in their order. */
async function outputs(it) {
	const out = { 1: [], 2: [] }, size = { 1: 0, 2: 0 };
	for await (const { channel, data, offset, lost } of it) {
		assert.equal(offset, size[channel]);
		assert.equal(lost, 0);
		size[channel] += data.length;
		out[channel].push(data);
	}
	return [Buffer.concat(out[1]), Buffer.concat(out[2])];
}

async function fails(promise, kind, check) {
	const e = await promise.then(() => assert.fail('no error'), (error) => error);
	assert.ok(e instanceof kind, `${e}`);
	for (const [key, value] of Object.entries(check ?? {}))
		assert.equal(e[key], value);
	return e;
}

const sha256 = (data) => createHash('sha256').update(data).digest('hex');

const cases = {
	async exec(guest) {
		const it = await guest.exec('cat; echo err >&2; exit 3', { stdin: true });
		const data = randomBytes(3_000_000);
		const writing = it.write(data).then((n) => {
			it.end();
			return n;
		});
		const [out, err] = await outputs(it);
		assert.equal(await writing, data.length);
		assert.ok(out.equals(data));
		assert.equal(err.toString(), 'err\n');
		assert.deepEqual([it.exit.code, it.exit.signal], [3, null]);
		await assert.rejects((await guest.exec('true')).write('x'), /stdin/);
	},

	async errors(guest) {
		await fails(guest.exec('true', { cwd: '/no/such/directory' }), sdk.RpcError, { code: 'ENOENT', stage: 'chdir', errno: 2 });
		const e = await fails(guest.call('fs.stat', { paht: '/' }), sdk.RpcError, { code: 'bad_params' });
		assert.match(e.reason, /paht/);
		await fails(guest.call('proc.run', { cmd: 'exec sleep 1000', id: 'js-timeout' }, { timeoutMs: 200 }), sdk.Timeout);
		assert.equal((await guest.call('proc.wait', { id: 'js-timeout' })).signal, 15);
		const abort = new AbortController();
		setTimeout(() => abort.abort(), 100);
		await fails(guest.call('proc.run', { cmd: 'exec sleep 1000' }, { signal: abort.signal }), sdk.RpcError, { code: 'canceled' });
	},

	async leaving(guest) {
		const it = await guest.exec('while :; do echo flood; done');
		for await (const chunk of it)
			if (chunk)
				break;
		assert.equal((await guest.call('proc.wait', { id: it.id })).signal, 15);
		const { id } = await guest.start('echo it; read x', { stdin: true });
		for await (const { data } of await guest.attach(id)) {
			assert.equal(data.toString(), 'it\n');
			break;
		}
		const again = await guest.attach(id, { stdout_from: 1 });
		await again.write('\n');
		assert.equal((await outputs_from(again, 1)).toString(), 't\n');
		assert.equal(again.exit.code, 0);
	},

	async flood(guest) { /* 64 MiB */
		const it = await guest.exec(`seq 1 999999 | head -c 4194304 >$F; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do cat $F; done; rm $F`,
			{ env: { F: argument } });
		const sum = createHash('sha256');
		for await (const { data } of it)
			sum.update(data);
		let part = '';
		for (let i = 1; part.length < 4194304; i++)
			part += `${i}\n`;
		const expected = createHash('sha256');
		for (let i = 0; i < 16; i++)
			expected.update(part.slice(0, 4194304));
		assert.equal(it.exit.stdout_bytes, 64 << 20);
		assert.equal(sum.digest('hex'), expected.digest('hex'));
	},

	async pty(guest) {
		const it = await guest.pty('stty size; read x; stty size', { rows: 10, cols: 20 });
		let out = '', asked = false;
		for await (const { data } of it) {
			out += data;
			if (!asked && out.endsWith('\r\n')) {
				asked = true;
				await it.resize(30, 40);
				await it.write('\n');
			}
		}
		assert.ok(out.startsWith('10 20\r\n') && out.endsWith('30 40\r\n'), out);
	},

	async attached(guest) { /* the proxy cuts the connection again and again */
		const events = [];
		const it = await guest.exec('seq 1 400000; echo err >&2; exit 5', { ring: 16 << 20, onEvent: (e) => events.push(e) });
		const [out, err] = await outputs(it);
		let expected = '';
		for (let i = 1; i <= 400000; i++)
			expected += `${i}\n`;
		assert.ok(out.toString() === expected);
		assert.equal(err.toString(), 'err\n');
		assert.equal(it.exit.code, 5);
		assert.ok(events.filter((e) => e.type === 'reattached').length >= 3);
	},

	async files(guest) {
		const path = `${argument}/sub/file`, data = randomBytes(32 << 20);
		const written = await guest.writeFile(path, data, { mode: 0o600 });
		assert.deepEqual([written.size, written.sha256], [data.length, sha256(data)]);
		assert.ok((await guest.readFile(path, { hash: true })).equals(data));
		assert.equal((await guest.call('fs.stat', { path })).mode, 0o600);
		await guest.writeFile(`${path}2`, createReadStream(path));
		assert.ok((await guest.readFile(`${path}2`)).equals(data));
		assert.equal((await guest.readFile(path, { offset: 3, length: 2 })).length, 2);
		await assert.rejects(guest.writeFile(`${argument}/half`, (async function* () {
			yield Buffer.from('half');
			throw new Error('no more');
		})()), /no more/);
		await fails(guest.call('fs.stat', { path: `${argument}/half` }), sdk.RpcError, { code: 'ENOENT' });
		await fails(guest.writeFile(argument, 'x'), sdk.RpcError, { code: 'EISDIR' });
		const names = (await guest.call('fs.list', { path: argument })).entries.map((e) => e.name);
		assert.ok(names.some((n) => n instanceof Uint8Array && Buffer.from(n).equals(Buffer.from([0x78, 0xff]))), 'bytes are bytes');
	},

	async archives(guest) {
		const archive = await guest.export(argument, { format: 'tar' });
		const data = await archive.read();
		assert.equal(archive.result.sha256, sha256(data));
		await guest.import(`${argument}-again`, data);
		const of = async (path) => guest.call('tar.manifest', { path });
		assert.deepEqual(await of(`${argument}-again`), await of(argument));
		const e = await fails(guest.import(`${argument}-broken`, data.subarray(0, data.length / 2)), sdk.RpcError, { stage: 'read' });
		assert.ok(e.reason);
	},

	async watch(guest) {
		const watch = await guest.watch(argument);
		assert.equal(watch.ready.type, 'ready');
		await guest.run('mkdir d; echo 1 >a; mv a b', { cwd: argument });
		const told = [];
		for await (const { type, path } of watch) {
			told.push([type, path.slice(argument.length + 1)]);
			if (type === 'renamed')
				break;
		}
		assert.deepEqual([told[0], told.at(-1)], [['created', 'd'], ['renamed', 'b']]);
	},

	async crowded(guest) { /* events that nobody takes hold up the connection, until their call is left */
		const slow = await guest.open('fs.find', { path: argument });
		const asked = guest.call('system.ping');
		while (slow.events < 4096)
			await new Promise((resolve) => setTimeout(resolve, 10));
		await new Promise((resolve) => setTimeout(resolve, 200));
		assert.ok(slow.events < 10000 && !slow.done);
		slow.close();
		assert.ok((await asked).time_us > 0);
		assert.equal((await guest.run('echo on')).stdout.toString(), 'on\n');
	},

	async tunnel(guest) {
		const server = net.createServer({ allowHalfOpen: true }, (socket) => {
			const got = [];
			socket.on('data', (data) => got.push(data));
			socket.on('end', () => socket.end(Buffer.concat(got).reverse()));
		});
		await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
		const { port } = server.address(), data = randomBytes(1_000_000);
		const tunnel = await guest.dial({ port });
		await tunnel.write(data);
		tunnel.end();
		const got = [];
		for await (const piece of tunnel)
			got.push(piece);
		assert.ok(Buffer.concat(got).reverse().equals(data));
		server.close();
		await fails(guest.dial({ port: 1 }), sdk.RpcError, { code: 'ECONNREFUSED', stage: 'connect' });
	},

	async hybrid(guest) {
		assert.equal((await guest.run('echo through')).stdout.toString(), 'through\n');
	},

	async refused(guest) { /* what the vectors say to call 1 */
		guest.link.nextId = 1;
		await fails(guest.call('system.ping', {}, { timeoutMs: 20000 }), sdk.ProtocolError);
		await fails(guest.call('system.ping'), sdk.Disconnected);
	},
};

async function outputs_from(it, first) {
	const out = [];
	for await (const { data, offset } of it) {
		assert.equal(offset, first + out.reduce((sum, piece) => sum + piece.length, 0));
		out.push(data);
	}
	return Buffer.concat(out);
}

/* The vectors, encoded and decoded; [[name, message with {hex} for bytes, hex]...] on stdin. */
async function vectors() {
	const real = (v) => Array.isArray(v) ? v.map(real) : v === null || typeof v !== 'object' ? v
		: typeof v.hex === 'string' ? Buffer.from(v.hex, 'hex') : Object.fromEntries(Object.entries(v).map(([k, x]) => [k, real(x)]));
	const chunks = [];
	for await (const chunk of process.stdin)
		chunks.push(chunk);
	const { messages, refused } = JSON.parse(Buffer.concat(chunks));
	for (const { message, stream } of messages) {
		const body = Buffer.from(stream, 'hex').subarray(4);
		assert.deepEqual(sdk.decode(body), real(message));
		assert.deepEqual(sdk.decode(Buffer.concat(sdk.encode(real(message)))), real(message));
	}
	assert.ok(messages.length > 10 && refused.length > 10);
	/* What it writes is read by another: every kind of value. */
	process.stdout.write(Buffer.concat(sdk.encode({ s: 'x'.repeat(70000), t: 'ä€😀', b: randomBytes(300).fill(7), n: [0, -1, -33, 128, 2 ** 32, -(2 ** 40), 0.5],
		l: Array(20).fill(true), m: Object.fromEntries([...Array(20).keys()].map((i) => [`k${i}`, null])), u: undefined })));
}

if (name === 'vectors')
	await vectors();
else {
	const guest = await sdk.connect(endpoint, name === 'refused' ? { reconnect: false } : {});
	try {
		await cases[name](guest, argument);
	} finally {
		await guest.close();
	}
}
