/** A program that is an MQTT client, told by lines and answering by lines: what each real client of the peers tests is. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { eventually } from './eventually.ts';

/** What a client is started with. */
export interface ClientOptions {
  /** Of its client id, behind the device id. */
  readonly suffix: string;
  readonly version: 4 | 5;
  readonly clean?: boolean;
  readonly keepAliveSeconds?: number;
  readonly willTopic: string;
}

export interface Received {
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly length: number;
  /** Its first 20 bytes. */
  readonly start: string;
}

export class ClientProgram implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #errors = '';

  constructor(command: readonly string[]) {
    const [program = '', ...args] = command;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#lines.push(line));
    this.#child.stderr!.on('data', (text) => {
      this.#errors += text;
    });
    this.#child.stdin!.on('error', () => {});
  }

  say(...words: (string | number)[]): void {
    this.#child.stdin!.write(`${words.join(' ')}\n`);
  }

  /** The first line that begins with a word, waited for and taken out: what follows the word. */
  async hears(word: string): Promise<string> {
    return eventually(() => {
      const at = this.#lines.findIndex((line) => line === word || line.startsWith(`${word} `));
      if (at < 0) throw new Error(`no line "${word}" came; ${this.#errors}`);
      return this.#lines.splice(at, 1)[0]!.slice(word.length + 1);
    });
  }

  async message(): Promise<Received> {
    const [topic = '', qos, retain, length, start = ''] = (await this.hears('message')).split(' ');
    return { topic, qos: Number(qos), retain: retain === '1', length: Number(length), start };
  }

  async subscribes(topic: string, qos: 0 | 1 | 2): Promise<void> {
    this.say('sub', topic, qos);
    await this.hears('subscribed');
  }

  /** `payload` may be `#<n>`: so many bytes. */
  async publishes(topic: string, qos: 0 | 1 | 2, payload: string, retain = false): Promise<void> {
    this.say('pub', topic, qos, retain ? 1 : 0, payload);
    await this.hears('published');
  }

  /** As if the network had failed. */
  async drops(): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }

  /** DISCONNECT, and its end. */
  async leaves(): Promise<number | null> {
    this.#child.stdin!.end();
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.drops();
  }
}
