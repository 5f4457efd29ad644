/* Types of guestd.mjs.  Parameters and results are those of docs/protocol.md. */
export type Value = null | boolean | number | string | Uint8Array | Value[] | { [key: string]: Value };
export type Params = { [key: string]: unknown };
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Result = any;
export type Source = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
export type Event = { type: string; [key: string]: Result };
export type Item = { channel: number; data: Buffer } | { channel: number; end: true } | Event;
export type Chunk = { channel: number; data: Buffer; offset: number; lost: number };
/** For the shell, or argv. */
export type Command = string | string[];

export interface Spawn {
	cwd?: string; env?: { [name: string]: string | null }; user?: string; target?: string; stdin?: boolean;
	timeout_ms?: number; grace_ms?: number; on_disconnect?: 'keep' | 'kill'; id?: string; label?: string; ring?: number;
	rlimits?: { [name: string]: [number, number] }; nice?: number; no_new_privs?: boolean; login?: boolean;
	merge?: boolean; pty?: { rows?: number; cols?: number; term?: string };
	limits?: { memory?: number; cpu_ms_per_s?: number; pids?: number }; artifacts?: string[];
}

export interface Exit {
	code: number | null; signal: number | null; signal_name?: string; timed_out: boolean; oom_killed: boolean;
	stdout_bytes: number; stderr_bytes: number; eof: boolean; [key: string]: Result;
}

export class GuestdError extends Error {}
export class RpcError extends GuestdError {
	code: string; reason: string; errno?: number; stage?: string; path?: string | Uint8Array; data?: Result;
}
export class Disconnected extends GuestdError {}
export class ProtocolError extends Disconnected {}
export class Timeout extends GuestdError {}
export class DigestError extends GuestdError {}

export const STDIN: 0, STDOUT: 1, STDERR: 2;
export function encode(value: unknown): Uint8Array[];
export function decode(bytes: Buffer): Value;

export class Call implements AsyncIterable<Item> {
	readonly done: boolean;
	[Symbol.asyncIterator](): AsyncIterableIterator<Item>;
	result(): Promise<Result>;
	write(data: string | Uint8Array, channel?: number): Promise<number>;
	end(channel?: number): void;
	close(): void;
}

export class Process implements AsyncIterable<Chunk> {
	readonly id: string; readonly pid: number; readonly exit: Exit | null;
	readonly offsets: { [channel: number]: number };
	[Symbol.asyncIterator](): AsyncIterableIterator<Chunk>;
	wait(): Promise<Exit>;
	write(data: string | Uint8Array): Promise<number>;
	end(): void;
	resize(rows: number, cols: number): Promise<Result>;
	signal(signal: number | string, more?: Params): Promise<{ signaled: number }>;
	stop(more?: Params): Promise<Exit>;
	close(): Promise<void>;
}

export class Download implements AsyncIterable<Buffer> {
	readonly result: Result;
	[Symbol.asyncIterator](): AsyncIterableIterator<Buffer>;
	read(): Promise<Buffer>;
	close(): void;
}

export class Events implements AsyncIterable<Event> {
	readonly ready: Event | null; readonly inSync: boolean; readonly overflows: number;
	[Symbol.asyncIterator](): AsyncIterableIterator<Event>;
	close(): Promise<void>;
}

export class Tunnel implements AsyncIterable<Buffer> {
	[Symbol.asyncIterator](): AsyncIterableIterator<Buffer>;
	write(data: string | Uint8Array): Promise<void>;
	end(): void;
	close(): void;
}

export interface Options {
	token?: string | Uint8Array; name?: string; window?: number; keepaliveMs?: number; timeoutMs?: number;
	connectTimeoutMs?: number; retryMs?: number; reconnect?: boolean;
}

export class Client {
	constructor(endpoint: string, options?: Options);
	readonly hello: Result;
	connect(): Promise<Result>;
	close(): Promise<void>;
	open(method: string, params?: Params): Promise<Call>;
	call(method: string, params?: Params, options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<Result>;
	run(what: Command, options?: Spawn & { input?: string | Uint8Array; maxOutput?: number }):
		Promise<Exit & { stdout: Buffer; stderr: Buffer; stdout_truncated: boolean; stderr_truncated: boolean }>;
	exec(what: Command, options?: Spawn & { onEvent?: (event: Event) => void }): Promise<Process>;
	pty(what?: Command, options?: Spawn & { rows?: number; cols?: number; term?: string;
		onEvent?: (event: Event) => void }): Promise<Process>;
	start(what: Command, options?: Spawn): Promise<Result>;
	attach(id: string, options?: { stdout_from?: number; stderr_from?: number; follow?: boolean;
		onEvent?: (event: Event) => void }): Promise<Process>;
	readStream(path: string, params?: Params): Promise<Download>;
	readFile(path: string, params?: Params): Promise<Buffer>;
	writeFile(path: string, source: Source, params?: Params): Promise<Result>;
	export(what: string | string[], params?: Params): Promise<Download>;
	import(path: string, source: Source, params?: Params): Promise<Result>;
	watch(path: string, params?: Params): Promise<Events>;
	subscribe(method: string, params?: Params): Promise<Events>;
	dial(where: { port: number; host?: string } | { path: string }): Promise<Tunnel>;
}

export function connect(endpoint: string, options?: Options): Promise<Client>;
