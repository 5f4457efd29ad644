/*
 * guestd.mjs - a client of guestd in one file, for Node 18 and later; it needs nothing else
 *
 *	const guest = await connect('unix:/run/guestd/agent.sock');
 *	console.log((await guest.run('uname -a')).stdout.toString());
 *	const make = await guest.exec(['make', '-j4'], { cwd: '/workspace' });
 *	for await (const { channel, data } of make)
 *		process.stdout.write(data);
 *	console.log(make.exit.code);
 *	await guest.close();
 *
 * call('fs.stat', { path }) calls any method of docs/protocol.md, open() leaves its data and events to the caller;
 * the helpers are made of these two.  To leave a `for await` early cancels the call.
 *
 * Errors: RpcError is what the agent answered (code, message, stage, errno, path, data), Disconnected a connection
 * that is gone, ProtocolError a peer that speaks something else, Timeout a wait that is over, DigestError bytes that
 * are not those that were sent.  All are GuestdErrors.
 */
import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';

export class GuestdError extends Error {
	constructor(message, options) {
		super(message, options);
		this.name = this.constructor.name;
	}
}

export class RpcError extends GuestdError {
	constructor(error) {
		super(`${error.code}: ${error.message}`);
		this.code = error.code;
		this.reason = error.message;
		for (const key of ['errno', 'stage', 'path', 'data'])
			if (error[key] !== undefined)
				this[key] = error[key];
	}
}

/* A call that was open may have been served or not. */
export class Disconnected extends GuestdError {}
export class ProtocolError extends Disconnected {}
export class Timeout extends GuestdError {}
export class DigestError extends GuestdError {}

const REQUEST = 0, RESPONSE = 1, NOTIFICATION = 2, DATA = 3, END = 4, EVENT = 5, CREDIT = 6, CANCEL = 7;
export const STDIN = 0, STDOUT = 1, STDERR = 2;

const MAX_DATA = 64 << 10; /* bytes in one data message */
const MAX_FRAME = (1 << 20) + 64; /* until hello says otherwise */
const MAX_DEPTH = 16;
const MAX_QUEUED = 4096; /* events of a call that nobody takes, before nothing more is read */
const MAX_ITEMS = 65536; /* the same with pieces of data, however small */
const SMALL_DATA = 4096; /* data that is joined with what comes next */
const MAX_LOSSES = 20; /* connections lost in a row without anything that came */
const HIGH_WATER = 256 << 10; /* unsent bytes from which on whoever writes has to wait */

/* -- msgpack -------------------------------------------------------------------------------------- */

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function header(out, n, tag8, tag16, tag32) {
	const b = Buffer.alloc(n < 256 && tag8 ? 2 : n < 65536 ? 3 : 5);
	if (b.length === 2)
		b.writeUInt8(n, 1);
	else if (b.length === 3)
		b.writeUInt16BE(n, 1);
	else
		b.writeUInt32BE(n, 1);
	b[0] = { 2: tag8, 3: tag16, 5: tag32 }[b.length];
	out.push(b);
}

function encodeNumber(out, v) {
	const b = Buffer.alloc(9);
	if (Number.isInteger(v) && v >= -32 && v < 128)
		return out.push(Buffer.from([v & 0xff]));
	if (Number.isSafeInteger(v) && v >= 0) {
		b[0] = 0xcf;
		b.writeBigUInt64BE(BigInt(v), 1);
	} else if (Number.isSafeInteger(v)) {
		b[0] = 0xd3;
		b.writeBigInt64BE(BigInt(v), 1);
	} else {
		b[0] = 0xcb;
		b.writeDoubleBE(v, 1);
	}
	return out.push(b);
}

function encodeInto(out, v) {
	if (v === null || v === undefined)
		out.push(Buffer.from([0xc0]));
	else if (typeof v === 'boolean')
		out.push(Buffer.from([v ? 0xc3 : 0xc2]));
	else if (typeof v === 'number' || typeof v === 'bigint')
		encodeNumber(out, Number(v));
	else if (typeof v === 'string') {
		const b = Buffer.from(v);
		if (b.length < 32)
			out.push(Buffer.from([0xa0 | b.length]));
		else
			header(out, b.length, 0xd9, 0xda, 0xdb);
		out.push(b);
	} else if (v instanceof Uint8Array) {
		header(out, v.length, 0xc4, 0xc5, 0xc6);
		out.push(v);
	} else if (Array.isArray(v)) {
		if (v.length < 16)
			out.push(Buffer.from([0x90 | v.length]));
		else
			header(out, v.length, 0, 0xdc, 0xdd);
		for (const element of v)
			encodeInto(out, element);
	} else if (typeof v === 'object') {
		const pairs = Object.entries(v).filter(([, value]) => value !== undefined);
		if (pairs.length < 16)
			out.push(Buffer.from([0x80 | pairs.length]));
		else
			header(out, pairs.length, 0, 0xde, 0xdf);
		for (const [key, value] of pairs) {
			encodeInto(out, key);
			encodeInto(out, value);
		}
	} else
		throw new TypeError(`cannot be sent to the agent: ${typeof v}`);
}

/* Pieces of one msgpack value, which are not copied. */
export function encode(value) {
	const out = [];
	encodeInto(out, value);
	return out;
}

class Decoder {
	constructor(bytes) {
		this.bytes = bytes;
		this.at = 0;
	}

	take(n) {
		if (this.at + n > this.bytes.length)
			throw new ProtocolError('no msgpack: it ends too early');
		this.at += n;
		return this.bytes.subarray(this.at - n, this.at);
	}

	uint(n) {
		return n === 8 ? this.wide(this.take(8).readBigUInt64BE()) : this.take(n).readUIntBE(0, n);
	}

	int(n) {
		return n === 8 ? this.wide(this.take(8).readBigInt64BE()) : this.take(n).readIntBE(0, n);
	}

	wide(v) { /* the agent sends nothing that a number does not hold */
		return Number(v);
	}

	text(n) {
		try {
			return utf8.decode(this.take(n));
		} catch (e) {
			throw e instanceof ProtocolError ? e : new ProtocolError('no msgpack: text that is no UTF-8');
		}
	}

	array(n, depth) {
		const out = [];
		for (let i = 0; i < n; i++)
			out.push(this.value(depth + 1));
		return out;
	}

	map(n, depth) {
		const out = {};
		for (let i = 0; i < n; i++) {
			const key = this.value(depth + 1);
			if (typeof key !== 'string')
				throw new ProtocolError('a map with a key that is no text');
			/* A plain assignment would make something else of "__proto__". */
			Object.defineProperty(out, key, {
				value: this.value(depth + 1), enumerable: true, writable: true, configurable: true });
		}
		return out;
	}

	value(depth) {
		if (depth > MAX_DEPTH)
			throw new ProtocolError('a message that is nested too deeply');
		const tag = this.take(1)[0];
		if (tag < 0x80)
			return tag;
		if (tag < 0x90)
			return this.map(tag & 15, depth);
		if (tag < 0xa0)
			return this.array(tag & 15, depth);
		if (tag < 0xc0)
			return this.text(tag & 31);
		if (tag >= 0xe0)
			return tag - 256;
		switch (tag) {
		case 0xc0: return null;
		case 0xc2: return false;
		case 0xc3: return true;
		case 0xc4: case 0xc5: case 0xc6: return this.take(this.uint(1 << (tag - 0xc4)));
		case 0xca: return this.take(4).readFloatBE();
		case 0xcb: return this.take(8).readDoubleBE();
		case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.uint(1 << (tag - 0xcc));
		case 0xd0: case 0xd1: case 0xd2: case 0xd3: return this.int(1 << (tag - 0xd0));
		case 0xd9: case 0xda: case 0xdb: return this.text(this.uint(1 << (tag - 0xd9)));
		case 0xdc: case 0xdd: return this.array(this.uint(2 << (tag - 0xdc)), depth);
		case 0xde: case 0xdf: return this.map(this.uint(2 << (tag - 0xde)), depth);
		default: throw new ProtocolError(`no msgpack that is used here: 0x${tag.toString(16)}`);
		}
	}
}

/* The one value that BYTES hold, or ProtocolError.  A bin is a part of BYTES. */
export function decode(bytes) {
	const d = new Decoder(bytes);
	const value = d.value(1);
	if (d.at !== bytes.length)
		throw new ProtocolError('no msgpack: bytes behind its end');
	return value;
}

/* -- a connection --------------------------------------------------------------------------------- */

/* An open call: for await (const item of call), each {channel, data}, {channel, end: true} or an event with `type`;
 * then result().  Bytes are granted again as they are taken. */
export class Call {
	constructor(link, id) {
		this.id = id;
		this.link = link;
		this.items = [];
		this.events = 0; /* among them */
		this.room = link.peerWindow; /* bytes that the agent takes now */
		this.unsure = 0; /* bytes sent, and not known to be taken */
		this.window = link.window; /* bytes that the agent may still send */
		this.unpaid = 0; /* bytes taken, and not granted again */
		this.done = false;
		this.abandoned = false;
		this.waiters = [];
	}

	/* The next of what belongs to it; null when all has come. */
	async take() {
		while (this.items.length === 0) {
			if (this.error)
				throw new RpcError(this.error);
			if (this.done)
				return null;
			await this.changed();
		}
		const item = this.items.shift();
		if (item.type !== undefined || item.end)
			this.events--;
		else {
			this.unpaid += item.data.length;
			if (this.unpaid >= this.link.window / 2 && !this.done) {
				this.link.send([CREDIT, this.id, this.unpaid]);
				this.window += this.unpaid;
				this.unpaid = 0;
			}
		}
		this.link.resume();
		return item;
	}

	changed() {
		if (this.link.lost)
			throw this.link.lost;
		return new Promise((resolve) => this.waiters.push(resolve));
	}

	wake() {
		for (const waiter of this.waiters.splice(0))
			waiter();
	}

	[Symbol.asyncIterator]() {
		return iterator(() => this.take(), () => this.close());
	}

	/* Waits for the response.  Data and events that nobody took are dropped. */
	async result() {
		while (await this.take() !== null)
			;
		return this.value;
	}

	/* Sends it as the agent takes it.  How much: less than all only when the call is over. */
	async write(data, channel = STDIN) {
		const bytes = typeof data === 'string' ? Buffer.from(data) : data;
		let at = 0;
		while (at < bytes.length && !this.done) {
			await this.link.drained();
			const n = Math.min(bytes.length - at, this.room, MAX_DATA, this.link.maxFrame - 32);
			if (n > 0 && !this.done && !this.link.lost) {
				this.room -= n;
				this.unsure += n;
				this.link.send([DATA, this.id, channel, bytes.subarray(at, at + n)]);
				at += n;
			} else if (!this.done)
				await this.changed();
		}
		return at;
	}

	end(channel = STDIN) {
		if (!this.done)
			this.link.send([END, this.id, channel]);
	}

	/* Cancels it, unless it is over, and waits for nothing. */
	close() {
		if (this.done || this.abandoned)
			return;
		this.abandoned = true;
		this.items.length = this.events = 0;
		this.link.send([CANCEL, this.id]);
		this.link.resume();
	}
}

function iterator(next, close) {
	return {
		async next() {
			const value = await next();
			return value === null ? { done: true, value: undefined } : { done: false, value };
		},
		async return() {
			await close();
			return { done: true, value: undefined };
		},
		[Symbol.asyncIterator]() {
			return this;
		},
	};
}

function parseEndpoint(text) {
	const unix = /^unix:(.+)$/s.exec(text), uds = /^uds:(.+):(\d+)$/s.exec(text);
	if (!unix && !uds)
		throw new TypeError(`endpoint ${text} is neither unix:PATH nor uds:PATH:PORT`);
	return unix ? { path: unix[1] } : { path: uds[1], port: Number(uds[2]) };
}

/* A connected socket; of hybrid vsock after the monitor's OK, of which the rest of what came belongs to the protocol. */
function dialSocket(endpoint, timeoutMs) {
	const { path, port } = parseEndpoint(endpoint);
	return new Promise((resolve, reject) => {
		const socket = net.connect({ path });
		let line = Buffer.alloc(0);
		const fail = (e) => {
			clearTimeout(timer);
			socket.destroy();
			reject(new Disconnected(`cannot reach ${endpoint}: ${e.message}`, { cause: e }));
		};
		const timer = setTimeout(() => fail(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
		const ready = (rest) => {
			clearTimeout(timer);
			socket.removeAllListeners();
			socket.pause();
			resolve({ socket, rest });
		};
		socket.on('error', fail);
		socket.on('close', () => fail(new Error(`nobody listens on port ${port} of the guest`)));
		socket.on('connect', () => {
			if (port === undefined)
				return ready(line);
			return socket.write(`CONNECT ${port}\n`); /* one write: monitors drop a split one */
		});
		socket.on('data', (data) => {
			line = Buffer.concat([line, data]);
			const end = line.indexOf('\n');
			if (end >= 0 && line.subarray(0, 3).toString() === 'OK ')
				ready(line.subarray(end + 1));
			else if (end >= 0 || line.length > 64)
				fail(new Error(`CONNECT ${port} was answered with ${JSON.stringify(line.toString().slice(0, 64))}`));
		});
	});
}

class Link {
	constructor(socket, rest, options) {
		this.socket = socket;
		this.window = options.window;
		this.peerWindow = 0;
		this.maxFrame = MAX_FRAME;
		this.calls = new Map();
		this.nextId = 1;
		this.chunks = [];
		this.bytes = 0; /* in `chunks` */
		this.drainers = [];
		this.heard = this.spoke = performance.now();
		socket.on('data', (data) => this.receive(data));
		socket.on('drain', () => this.drainers.splice(0).forEach((resolve) => resolve()));
		socket.on('error', () => {}); /* 'close' follows */
		socket.on('close', () => this.lose(new Disconnected('the agent closed the connection')));
		if (rest.length)
			socket.unshift(rest);
		socket.resume();
		if (options.keepaliveMs)
			this.timer = setInterval(() => this.tick(options.keepaliveMs), options.keepaliveMs / 2).unref();
	}

	tick(keepaliveMs) {
		const now = performance.now();
		if (!this.socket.isPaused() && now - this.heard > 3 * keepaliveMs)
			this.lose(new Disconnected(`the agent was silent for ${Math.round(now - this.heard)} ms`));
		else if (now - this.spoke >= keepaliveMs / 2)
			this.send([NOTIFICATION, 'keepalive', {}]);
	}

	/* The connection is over, and so are its calls; what came for them can still be taken. */
	lose(error) {
		if (this.lost)
			return;
		const goodbye = this.goodbye;
		this.lost = goodbye && !(error instanceof ProtocolError)
			? new Disconnected(`the agent ended the connection: ${goodbye.code}: ${goodbye.message}`) : error;
		clearInterval(this.timer);
		this.socket.destroy();
		for (const call of this.calls.values())
			call.wake();
		this.drainers.splice(0).forEach((resolve) => resolve());
	}

	send(message) {
		if (this.lost)
			return;
		const pieces = encode(message);
		const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
		if (size > this.maxFrame)
			throw new RangeError(`${size} bytes are more than the ${this.maxFrame} of a message`);
		const length = Buffer.alloc(4);
		length.writeUInt32BE(size);
		this.spoke = performance.now();
		/* Copied: what the caller does with its bytes afterwards is its own business. */
		this.socket.write(Buffer.concat([length, ...pieces]));
	}

	async drained() {
		while (this.socket.writableLength >= HIGH_WATER && !this.lost)
			await new Promise((resolve) => this.drainers.push(resolve));
	}

	call(method, params) {
		if (this.lost)
			throw this.lost;
		while (this.calls.has(this.nextId))
			this.nextId++;
		const call = new Call(this, this.nextId);
		this.send([REQUEST, call.id, method, params ?? {}]);
		this.nextId = (this.nextId + 1) % 2 ** 32;
		this.calls.set(call.id, call);
		return call;
	}

	receive(data) {
		this.heard = performance.now();
		this.chunks.push(data);
		this.bytes += data.length;
		try {
			for (let body; !this.lost && (body = this.frame()) !== null;)
				this.message(decode(body));
		} catch (e) {
			this.lose(e instanceof ProtocolError ? e : new ProtocolError(e.message));
		}
		if (this.full())
			this.socket.pause();
	}

	/* N bytes of what came, joined where they came in pieces. */
	peek(n) {
		if (this.chunks[0].length < n) {
			const joined = [];
			for (let size = 0; size < n;)
				size += joined[joined.push(this.chunks.shift()) - 1].length;
			this.chunks.unshift(Buffer.concat(joined));
		}
		return this.chunks[0].subarray(0, n);
	}

	frame() {
		if (this.bytes < 4)
			return null;
		const size = this.peek(4).readUInt32BE();
		if (size < 1 || size > this.maxFrame)
			throw new ProtocolError(`a message of ${size} bytes`);
		if (this.bytes < 4 + size)
			return null;
		const body = this.peek(4 + size).subarray(4);
		this.bytes -= 4 + size;
		if (this.chunks[0].length === 4 + size)
			this.chunks.shift();
		else
			this.chunks[0] = this.chunks[0].subarray(4 + size);
		return body;
	}

	message(message) {
		if (!Array.isArray(message) || typeof message[0] !== 'number')
			throw new ProtocolError('what came is no message');
		const [kind, id, what, more] = message;
		if (kind === NOTIFICATION && id === 'goodbye')
			this.goodbye = what;
		if (![RESPONSE, DATA, END, EVENT, CREDIT].includes(kind))
			return;
		if (message.length < (kind === RESPONSE || kind === DATA ? 4 : 3) || typeof id !== 'number')
			throw new ProtocolError(`a message of kind ${kind} that lacks something`);
		const call = this.calls.get(id);
		if (!call)
			return; /* it crossed the end of the call */
		this.deliver(call, kind, what, more);
		call.wake();
	}

	deliver(call, kind, what, more) {
		const queue = (item) => {
			const last = call.items.at(-1), isData = item.data && item.type === undefined;
			if (call.abandoned || (isData && item.data.length === 0))
				return;
			if (isData && last?.data && last.type === undefined && last.channel === item.channel && last.data.length < SMALL_DATA)
				last.data = Buffer.concat([last.data, item.data]);
			else {
				call.items.push(item);
				call.events += isData ? 0 : 1;
			}
		};
		if (kind === RESPONSE && (what === null || typeof what?.code === 'string')) {
			this.calls.delete(call.id);
			call.done = true;
			call.error = what;
			call.value = more;
		} else if (kind === CREDIT && what >= 0) {
			call.room += what;
			call.unsure = Math.max(0, call.unsure - what);
		} else if (kind === END && (what === STDOUT || what === STDERR))
			queue({ channel: what, end: true });
		else if (kind === EVENT && typeof what?.type === 'string')
			queue(what);
		else if (kind === DATA && (what === STDOUT || what === STDERR) && more instanceof Uint8Array) {
			call.window -= more.length;
			if (call.window < 0)
				throw new ProtocolError('more data than was asked for');
			queue({ channel: what, data: more });
		} else
			throw new ProtocolError(`a message of kind ${kind} with something else in it`);
	}

	/* Somebody has left so much untaken that reading on would take memory without bound. */
	full() {
		for (const call of this.calls.values())
			if (call.events >= MAX_QUEUED || call.items.length >= MAX_ITEMS)
				return true;
		return false;
	}

	resume() {
		if (!this.lost && this.socket.isPaused() && !this.full()) {
			this.heard = performance.now();
			this.socket.resume();
		}
	}
}

/* -- what streams --------------------------------------------------------------------------------- */

/*
 * A process and its output: for await (const {channel, data, offset, lost} of process), then `exit`.  When the
 * connection is lost the next chunk is waited for on another one, from the byte on where it ended: nothing is missed,
 * and nothing comes twice.  onEvent hears of it, {type: "reattached", input_unsure: n}: of the last n bytes of input
 * nobody can say whether they arrived.  `lost`, with empty data: so many bytes before `offset` are gone.
 *
 * To leave the loop early, or close(), stops a process of exec or pty, and lets go of another one.
 */
export class Process {
	constructor(client, method, params, onEvent) {
		this.client = client;
		this.method = method;
		this.params = params;
		this.onEvent = onEvent ?? (() => {});
		this.id = params.id;
		this.exit = null;
		this.offsets = { [STDOUT]: 0, [STDERR]: 0 };
		this.unsure = this.losses = 0;
		this.call = null; /* to be attached again */
		this.again = client.options.reconnect && (params.on_disconnect ?? 'keep') === 'keep' && params.follow !== false;
	}

	/* Waits until it runs.  A request that was lost is sent again: with its id it never runs twice. */
	async start() {
		while (!this.call) {
			const call = await this.client.open(this.method, this.params);
			this.instance = this.client.hello.instance;
			try {
				this.greeted(await call.take());
				this.call = call;
			} catch (e) {
				if (!(e instanceof Disconnected) || e instanceof ProtocolError || !this.again || !this.id)
					throw e;
				await this.pause();
			}
		}
		return this;
	}

	/* After a connection was lost.  An agent that ends each of them is not to be asked for ever. */
	async pause() {
		if (++this.losses > MAX_LOSSES)
			throw new GuestdError(`${MAX_LOSSES} connections were lost one after the other, and nothing of process ${this.id} came`);
		if (this.losses > 1)
			await sleep(Math.min(10 * 2 ** this.losses, 2000));
	}

	greeted(event) {
		if (event?.type !== 'started' && event?.type !== 'attached')
			throw new ProtocolError(`${this.method} began with ${JSON.stringify(event)}`);
		({ id: this.id, pid: this.pid } = event.info ?? event);
		if (typeof this.pid !== 'number')
			throw new ProtocolError('an event that lacks something');
		if (event.type === 'attached')
			this.offsets = { [STDOUT]: event.stdout_offset, [STDERR]: event.stderr_offset };
	}

	/* Goes on where the connection ended. */
	async attach() {
		const call = await this.client.open('proc.attach', {
			id: this.id, stdout_from: this.offsets[STDOUT], stderr_from: this.offsets[STDERR] });
		if (this.client.hello.instance !== this.instance)
			throw new GuestdError(`the agent was started anew, and knows nothing of process ${this.id}`);
		this.moved = true;
		if (this.ended) /* its end may be among what was lost; a second one means nothing to a pipe */
			call.end();
		this.onEvent({ type: 'reattached', input_unsure: this.unsure });
		this.unsure = 0;
		return call;
	}

	async take() {
		while (!this.exit) {
			let item;
			this.call ??= await this.attach();
			try {
				item = await this.call.take();
				if (item === null)
					this.exit = this.checked(this.call.value);
			} catch (e) {
				if (!(e instanceof Disconnected) || e instanceof ProtocolError || !this.again)
					throw e;
				this.unsure += this.call.unsure;
				this.call = null;
				await this.pause();
				continue;
			}
			if (item?.type === 'gap' && item.channel !== undefined) {
				this.offsets[item.channel] = item.offset;
				return { channel: item.channel, data: Buffer.alloc(0), offset: item.offset, lost: item.lost };
			}
			if (item?.type === 'attached')
				this.greeted(item);
			else if (item?.type !== undefined)
				this.onEvent(item);
			else if (item?.data) {
				this.losses = 0;
				const offset = this.offsets[item.channel];
				this.offsets[item.channel] += item.data.length;
				return { channel: item.channel, data: item.data, offset, lost: 0 };
			}
		}
		return null;
	}

	checked(exit) {
		if (typeof exit?.stdout_bytes !== 'number' || typeof exit.stderr_bytes !== 'number')
			throw new ProtocolError('an exit that lacks something');
		for (const [name, channel] of [['stdout', STDOUT], ['stderr', STDERR]])
			if (exit.eof && !exit.running && exit[`${name}_bytes`] > this.offsets[channel])
				throw new ProtocolError(`${exit[`${name}_bytes`] - this.offsets[channel]} bytes of ${name} did not come`);
		return exit;
	}

	[Symbol.asyncIterator]() {
		return iterator(() => this.take(), () => this.close());
	}

	/* Waits for its end; its Exit.  Output that nobody took is dropped. */
	async wait() {
		while (await this.take() !== null)
			;
		return this.exit;
	}

	/* Input, as the process takes it.  How much: less than all when it has ended. */
	async write(data) {
		if (this.method === 'proc.exec' && !this.params.stdin && !this.params.pty)
			throw new TypeError('it was started without stdin: true');
		if (!this.call)
			throw new Disconnected('not attached: ask for the next output first');
		return this.call.write(data);
	}

	end() {
		this.ended = this.method !== 'pty.open' && !this.params.pty;
		this.call?.end();
	}

	resize(rows, cols) {
		return this.client.call('pty.resize', { id: this.id, rows, cols });
	}

	signal(signal, more) {
		return this.client.call('proc.signal', { id: this.id, signal, ...more });
	}

	stop(more) {
		return this.client.call('proc.stop', { id: this.id, ...more });
	}

	async close() {
		if (this.exit)
			return;
		this.call?.close(); /* of a proc.exec this stops it */
		if (this.method !== 'proc.attach' && (this.moved || !this.call))
			await this.stop().catch((e) => {
				if (e.code !== 'not_found')
					throw e;
			});
	}
}

/* The bytes of fs.read or tar.export: for await, then `result`; its size and SHA-256 are checked. */
export class Download {
	constructor(call, onEvent) {
		this.call = call;
		this.onEvent = onEvent ?? (() => {});
		this.sha256 = createHash('sha256');
		this.size = 0;
		this.result = null;
	}

	async take() {
		for (let item; (item = await this.call.take()) !== null;) {
			if (item.type !== undefined)
				this.onEvent(item);
			else if (item.data) {
				this.size += item.data.length;
				this.sha256.update(item.data);
				return item.data;
			}
		}
		if (!this.result) {
			const value = this.call.value ?? {}, digest = this.sha256.digest('hex');
			if ((value.archive_bytes ?? value.size) !== this.size || (value.sha256 ?? digest) !== digest)
				throw new DigestError(`${this.size} bytes came, and they are not those that were sent`);
			this.result = value;
		}
		return null;
	}

	[Symbol.asyncIterator]() {
		return iterator(() => this.take(), () => this.close());
	}

	async read() {
		const chunks = [];
		for await (const chunk of this)
			chunks.push(chunk);
		return Buffer.concat(chunks);
	}

	close() {
		this.call.close();
	}
}

/*
 * The events of a call that goes on until it is closed.  Of fs.watch: after "overflow" the agent sends what is
 * different as ordinary events, and then "resync"; `inSync` says whether a picture drawn from all of them is right now.
 * It has a connection of its own: who takes events slowly holds up no other call.
 */
export class Events {
	constructor(call, client) {
		this.call = call;
		this.client = client;
		this.ready = null;
		this.inSync = true;
		this.overflows = 0;
	}

	async take() {
		const event = await this.call.take();
		if (event?.type === 'overflow' || event?.type === 'resync') {
			this.inSync = event.type === 'resync';
			this.overflows += !this.inSync;
		}
		return event;
	}

	[Symbol.asyncIterator]() {
		return iterator(() => this.take(), () => this.close());
	}

	async close() {
		this.call.close();
		await this.client.close();
	}
}

/* A connection to a port or Unix socket in the guest: for await its bytes, write(), end(). */
export class Tunnel {
	constructor(call) {
		this.call = call;
	}

	[Symbol.asyncIterator]() {
		const next = async () => {
			for (let item; (item = await this.call.take()) !== null && !item.end;)
				if (item.data?.length)
					return item.data;
			return null;
		};
		return iterator(next, () => this.close());
	}

	async write(data) {
		const bytes = Buffer.from(data);
		if (await this.call.write(bytes) < bytes.length) {
			await this.call.result(); /* says why */
			throw new Disconnected('the tunnel is closed');
		}
	}

	end() {
		this.call.end();
	}

	close() {
		this.call.close();
	}
}

/* -- a client ------------------------------------------------------------------------------------- */

const DEFAULTS = {
	name: 'guestd.mjs',
	window: 1 << 20, /* bytes of each call that may be on their way to us */
	keepaliveMs: 10000, /* three times as long without a word, and the connection is lost; 0: never */
	timeoutMs: 0, /* of call(); 0: no limit */
	connectTimeoutMs: 10000, /* of one try to connect */
	retryMs: 30000, /* for how long it is tried again */
	reconnect: true, /* a lost connection is made anew when it is needed */
};

const command = (what) => typeof what === 'string' ? { cmd: what } : what ? { argv: what } : {};
const makeId = () => `js-${randomBytes(8).toString('hex')}`;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function within(promise, ms, what) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Timeout(`${what}: no answer within ${ms} ms`)), ms);
	});
	try {
		return await Promise.race([promise, late]);
	} finally {
		clearTimeout(timer);
	}
}

export class Client {
	constructor(endpoint, options) {
		parseEndpoint(endpoint);
		this.endpoint = endpoint;
		this.options = { ...DEFAULTS, ...options };
	}

	/* What the agent said of itself on the last connection. */
	get hello() {
		return this.link?.hello;
	}

	/* Connects, where it is not. */
	async connect() {
		if (this.closed)
			throw new Disconnected('the client was closed');
		if (!this.link || (this.link.lost && this.options.reconnect)) {
			this.connecting ??= this.dial_().finally(() => {
				this.connecting = null;
			});
			this.link = await this.connecting;
			if (this.closed)
				this.link.lose(new Disconnected('the client was closed'));
		}
		if (this.link.lost)
			throw this.link.lost;
		return this.link.hello;
	}

	async dial_() {
		const { connectTimeoutMs, retryMs } = this.options;
		const end = performance.now() + retryMs;
		for (let pause = 20; ; pause = Math.min(2 * pause, 2000)) {
			let link;
			try {
				const { socket, rest } = await dialSocket(this.endpoint, connectTimeoutMs);
				link = new Link(socket, rest, this.options);
				return await this.greet(link);
			} catch (e) {
				link?.lose(new Disconnected('hello failed'));
				const retry = (e instanceof Disconnected && !(e instanceof ProtocolError)) || e instanceof Timeout;
				if (!retry || e.cause?.code === 'EACCES' || this.closed || performance.now() + pause > end)
					throw e;
			}
			await sleep(pause);
		}
	}

	async greet(link) {
		const { name, token, window, keepaliveMs, connectTimeoutMs } = this.options;
		const call = link.call('hello', { protocol: 1, client: name, token, window, keepalive_ms: keepaliveMs });
		link.hello = await within(call.result(), connectTimeoutMs, 'hello');
		if (typeof link.hello?.window !== 'number' || typeof link.hello?.max_frame !== 'number')
			throw new ProtocolError('hello was answered with something else');
		link.peerWindow = link.hello.window;
		link.maxFrame = link.hello.max_frame;
		return link;
	}

	/* The agent cancels what is open; processes live on. */
	async close() {
		this.closed = true;
		this.link?.lose(new Disconnected('the client was closed'));
	}

	/* Sends the request of any method, and leaves data, events and the response to the caller. */
	async open(method, params) {
		await this.connect();
		return this.link.call(method, params);
	}

	/* The result of any method.  timeoutMs and an AbortSignal cancel it. */
	async call(method, params, { timeoutMs = this.options.timeoutMs, signal } = {}) {
		signal?.throwIfAborted();
		const call = await this.open(method, params);
		const stop = () => call.close();
		signal?.addEventListener('abort', stop);
		try {
			return await (timeoutMs ? within(call.result(), timeoutMs, method) : call.result());
		} finally {
			signal?.removeEventListener('abort', stop);
			call.close();
		}
	}

	/* Exit, with what it wrote as `stdout` and `stderr`. */
	run(what, { input, maxOutput, ...spawn } = {}) {
		return this.call('proc.run', { ...command(what), input, max_output: maxOutput, ...spawn });
	}

	exec(what, { onEvent, ...spawn } = {}) {
		return new Process(this, 'proc.exec', { id: makeId(), ...command(what), ...spawn }, onEvent).start();
	}

	pty(what, { onEvent, ...spawn } = {}) {
		return new Process(this, 'pty.open', { id: makeId(), ...command(what), ...spawn }, onEvent).start();
	}

	start(what, spawn = {}) {
		return this.call('proc.start', { id: makeId(), ...command(what), ...spawn });
	}

	/* stdout_from, stderr_from, follow as in the protocol. */
	attach(id, { onEvent, ...more } = {}) {
		return new Process(this, 'proc.attach', { id, ...more }, onEvent).start();
	}

	async readStream(path, more) {
		return new Download(await this.open('fs.read', { path, ...more }));
	}

	async readFile(path, more) {
		return (await this.readStream(path, more)).read();
	}

	/* SOURCE: bytes, a string, or (async) iterable of bytes, as a stream of node:fs is one. */
	writeFile(path, source, more) {
		return this.upload('fs.write', source, { path, ...more });
	}

	/* WHAT: a path, or a list of them.  An archive, by default tar.gz. */
	async export(what, { onEvent, ...more } = {}) {
		const paths = Array.isArray(what) ? { paths: what } : { path: what };
		return new Download(await this.open('tar.export', { ...paths, ...more }), onEvent);
	}

	import(path, source, { onEvent, ...more } = {}) {
		return this.upload('tar.import', source, { path, ...more }, onEvent);
	}

	async upload(method, source, params, onEvent = () => {}) {
		const call = await this.open(method, params);
		const sha256 = createHash('sha256');
		try {
			for await (const piece of typeof source === 'string' || source instanceof Uint8Array ? [source] : source) {
				const bytes = Buffer.from(piece);
				sha256.update(bytes);
				if (await call.write(bytes) < bytes.length)
					break; /* the response says why */
			}
			call.end();
			for (let item; (item = await call.take()) !== null;)
				onEvent(item);
		} finally {
			call.close();
		}
		const digest = sha256.digest('hex');
		if (call.value?.atomic && (call.value.sha256 ?? digest) !== digest)
			throw new DigestError('what the agent wrote is not what was sent');
		return call.value;
	}

	watch(path, more) {
		return this.subscribe('fs.watch', { path, ...more });
	}

	/* The events of a call without an end, as system.events or net.watch, on a connection of their own. */
	async subscribe(method, params) {
		const client = new Client(this.endpoint, { ...this.options, reconnect: false });
		try {
			const events = new Events(await client.open(method, params), client);
			if (method === 'fs.watch' || method === 'net.watch')
				events.ready = await events.take();
			return events;
		} catch (e) {
			await client.close();
			throw e;
		}
	}

	/* WHERE: {port, host?} or {path} in the guest. */
	async dial(where) {
		const call = await this.open('net.dial', where);
		await call.take(); /* connected */
		return new Tunnel(call);
	}
}

/* A client that is connected to unix:PATH or uds:PATH:PORT. */
export async function connect(endpoint, options) {
	const client = new Client(endpoint, options);
	await client.connect();
	return client;
}
