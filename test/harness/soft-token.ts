/** A PKCS #11 token in software (SoftHSM) in a folder of its own; its keys are made by pkcs11-tool, as an operator would. */
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pkcs11Settings } from '../../registry/settings.ts';
import { sh } from './peer-program.ts';

const modules = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
];
export const softModule = modules.find((path) => existsSync(path)) ?? modules[0]!;

/** The programs that tests with a token need. */
export const tokenPrograms = ['softhsm2-util', 'pkcs11-tool'];

export class SoftToken implements AsyncDisposable {
  readonly dir: string;
  readonly label: string;
  /** What a process needs in its environment to see the token. */
  readonly env: { SOFTHSM2_CONF: string };

  private constructor(dir: string, label: string) {
    this.dir = dir;
    this.label = label;
    this.env = { SOFTHSM2_CONF: join(dir, 'softhsm2.conf') };
  }

  /** With the user PIN 1234, in `pin`. */
  static async make(label: string): Promise<SoftToken> {
    const token = new SoftToken(await mkdtemp(join(tmpdir(), 'token-')), label);
    const { dir } = token;
    await writeFile(
      join(dir, 'softhsm2.conf'),
      `directories.tokendir = ${dir}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n`,
    );
    await writeFile(join(dir, 'pin'), '1234\n');
    token.#run('mkdir tokens');
    token.#run(`softhsm2-util --init-token --free --label ${label} --so-pin 12345678 --pin 1234`);
    return token;
  }

  /** `type` as pkcs11-tool writes it: `EC:prime256v1`, `rsa:2048`. */
  makeKey(label: string, type: string): void {
    this.#run(
      `pkcs11-tool --module ${softModule} --token-label ${this.label} --login --pin 1234 --keypairgen --key-type ${type} --label ${label}`,
    );
  }

  setPin(pin: string): Promise<void> {
    return writeFile(join(this.dir, 'pin'), `${pin}\n`);
  }

  /** Pulls the token out, and puts it back. */
  remove(): Promise<void> {
    return rename(join(this.dir, 'tokens'), join(this.dir, 'away'));
  }

  async replace(): Promise<void> {
    await rm(join(this.dir, 'tokens'), { recursive: true, force: true });
    await rename(join(this.dir, 'away'), join(this.dir, 'tokens'));
  }

  settings(keyLabel: string): Pkcs11Settings {
    return {
      type: 'pkcs11',
      module: softModule,
      tokenLabel: this.label,
      keyLabel,
      pinFile: join(this.dir, 'pin'),
      timeout: 10_000,
    };
  }

  #run(script: string): void {
    sh(`export SOFTHSM2_CONF=${this.env.SOFTHSM2_CONF}; ${script} 2>&1`, this.dir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
