/**
 * What two processes of one gateway say to each other over Node's IPC channel: calls that are answered, and words that are
 * not, by the name of a method. What is said in one turn of the loop goes as one message. It knows nothing of gateways.
 */
import type { Clock } from '#common/clock.ts';
import { Fault, type FaultKind } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';

/** A child process, or the process itself towards its parent. */
export interface Port {
  send?(
    message: unknown,
    handle: undefined,
    options: undefined,
    sent: (error: Error | null) => void,
  ): boolean;
  on(event: 'message', hear: (message: unknown) => void): unknown;
  on(event: 'disconnect', ended: () => void): unknown;
  readonly connected: boolean;
}

/** A Fault as it travels. */
interface WireFault {
  readonly kind: FaultKind;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
  readonly fields: Record<string, unknown>;
  /** Of an `internal` one, for the log. */
  readonly cause: string | undefined;
}

type Word =
  | { readonly call: number; readonly method: string; readonly args: readonly unknown[] }
  | { readonly tell: string; readonly args: readonly unknown[] }
  | { readonly answer: number; readonly value: unknown }
  | { readonly fault: number; readonly why: WireFault };

/** Answers a call; for words that are told what it returns is dropped. */
export type Handler = (...args: never[]) => unknown;

interface Pending {
  answer(value: unknown): void;
  refuse(fault: Fault): void;
}

export interface ChannelOptions {
  readonly clock: Clock;
  /** For words that fail here, which nobody is told of. */
  readonly log: Logger;
  /** Longest wait for an answer when a call does not say. */
  readonly timeoutMs?: number;
  /** Most calls that wait for an answer; more are refused. */
  readonly mostPending?: number;
  /** Most words on their way to the other process; more of those that may be missed are. */
  readonly mostUnsent?: number;
}

export class Channel {
  readonly #port: Port;
  readonly #options: Required<ChannelOptions>;
  #log: Logger;
  readonly #handlers = new Map<string, Handler>();
  readonly #pending = new Map<number, Pending>();
  readonly #onClosed = new Set<() => void>();
  #words: Word[] = [];
  #unsent = 0;
  #nextCall = 1;
  #closed = false;

  constructor(port: Port, options: ChannelOptions) {
    this.#port = port;
    this.#options = { timeoutMs: 30_000, mostPending: 50_000, mostUnsent: 20_000, ...options };
    this.#log = options.log;
    port.on('message', (words) => {
      for (const word of words as Word[]) this.#hear(word);
    });
    port.on('disconnect', () => this.close());
  }

  logTo(log: Logger): void {
    this.#log = log;
  }

  /** Answers calls of a method from now on. */
  handle(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
  }

  /** Faults as the other side does, `timeout` when it does not answer, `unavailable` when it is gone. */
  call<T>(method: string, args: readonly unknown[], timeoutMs = this.#options.timeoutMs): Promise<T> {
    const { clock, mostPending } = this.#options;
    if (this.#closed) return Promise.reject(gone());
    if (this.#pending.size >= mostPending)
      return Promise.reject(new Fault('unavailable', 'Too many questions wait for another process.'));
    const call = this.#nextCall++;
    return new Promise<T>((resolve, reject) => {
      const cancel = clock.after(timeoutMs, () =>
        this.#settle(call)?.refuse(
          new Fault('timeout', `Another process did not answer "${method}" in time.`),
        ),
      );
      this.#pending.set(call, {
        answer: (value) => {
          cancel();
          resolve(value as T);
        },
        refuse: (fault) => {
          cancel();
          reject(fault);
        },
      });
      this.#say({ call, method, args });
    });
  }

  /** Says something that is not answered. */
  tell(method: string, ...args: readonly unknown[]): void {
    if (!this.#closed) this.#say({ tell: method, args });
  }

  /** More is waiting to be taken by the other process than it should: what may be missed is to be. */
  get congested(): boolean {
    return this.#unsent >= this.#options.mostUnsent;
  }

  onClosed(run: () => void): void {
    if (this.#closed) run();
    else this.#onClosed.add(run);
  }

  /** Nothing is said any more; who waits for an answer is told `unavailable`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { refuse } of pending) refuse(gone());
    for (const run of this.#onClosed) run();
  }

  #say(word: Word): void {
    this.#unsent += 1;
    if (this.#words.push(word) === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const words = this.#words;
    this.#words = [];
    const taken = () => {
      this.#unsent -= words.length;
    };
    if (this.#closed || !this.#port.connected || !this.#port.send) return taken();
    // An error means that the other process is going; `disconnect` says so too.
    this.#port.send(words, undefined, undefined, taken);
  }

  #hear(word: Word): void {
    if ('answer' in word) this.#settle(word.answer)?.answer(word.value);
    else if ('fault' in word) this.#settle(word.fault)?.refuse(faultOf(word.why));
    else if ('tell' in word)
      this.#run(word.tell, word.args).catch((thrown) => {
        const { message, cause } = Fault.of(thrown);
        this.#log.error({ method: word.tell, error: cause ?? message }, 'A word of another process failed.');
      });
    else
      this.#run(word.method, word.args).then(
        (value) => this.#reply({ answer: word.call, value }),
        (thrown) => this.#reply({ fault: word.call, why: wireFault(Fault.of(thrown)) }),
      );
  }

  #reply(word: Word): void {
    if (!this.#closed) this.#say(word);
  }

  async #run(method: string, args: readonly unknown[]): Promise<unknown> {
    const handler = this.#handlers.get(method);
    if (!handler) throw new Fault('not-found', `Nobody here answers "${method}".`);
    return handler(...(args as never[]));
  }

  #settle(call: number): Pending | undefined {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    return pending;
  }
}

const gone = () => new Fault('unavailable', 'The other process is gone; try again.');

const wireFault = ({ kind, message, retryAfterMs, fields, cause }: Fault): WireFault => ({
  kind,
  message,
  retryAfterMs,
  fields,
  cause: cause === undefined ? undefined : String((cause as Error).stack ?? cause),
});

const faultOf = ({ kind, message, retryAfterMs, fields, cause }: WireFault): Fault =>
  new Fault(kind, message, {
    fields,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(cause !== undefined && { cause }),
  });
