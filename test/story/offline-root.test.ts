/** A root that stays elsewhere: the issuing CA's key and CSR are made here, openssl signs there, and devices enroll. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { command, House } from '../harness/house.ts';
import { sh, shell, withPrograms } from '../harness/peer-program.ts';

// Many commands, each a process of its own.
vi.setConfig({ testTimeout: 120_000 });
const fleetgate = `${process.execPath} ${command}`;
const goodExtensions = {
  basicConstraints: 'critical,CA:TRUE,pathlen:0',
  keyUsage: 'critical,keyCertSign,cRLSign',
};

withPrograms(['openssl'], 'a root that stays elsewhere', () => {
  async function folder(): Promise<{ dir: string } & AsyncDisposable> {
    const dir = await mkdtemp(join(tmpdir(), 'offline-'));
    makeRoot(dir, 'root');
    return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
  }

  /** `name.key` and `name.crt`; all of them have one subject, so that only keys tell them apart. */
  const makeRoot = (dir: string, name: string) =>
    sh(
      `openssl req -x509 -newkey rsa:2048 -nodes -keyout ${name}.key -out ${name}.crt -days 3650 -sha256 -subj "/O=Plant/CN=Plant Root" -addext keyUsage=critical,keyCertSign,cRLSign 2>&1`,
      dir,
    );

  interface Signed {
    extensions?: Record<string, string>;
    csr?: string;
    root?: string;
    days?: number;
    digest?: string;
  }
  /** Signs a CSR as the keeper of the root would. */
  async function signed(dir: string, change: Signed = {}): Promise<void> {
    const { extensions = {}, csr = 'data/ca/issuing.csr', root = 'root', days = 1000, digest } = change;
    const lines = Object.entries({ ...goodExtensions, ...extensions }).filter(([, value]) => value !== '');
    await writeFile(join(dir, 'ca.ext'), lines.map(([name, value]) => `${name}=${value}\n`).join(''));
    sh(
      `openssl x509 -req -in ${csr} -CA ${root}.crt -CAkey ${root}.key -CAcreateserial -days ${days} -${digest ?? 'sha256'} -extfile ca.ext -out issuing.crt 2>&1`,
      dir,
    );
  }

  test('init, sign elsewhere, import, enroll', async () => {
    await using made = await folder();
    const { dir } = made;
    const init = JSON.parse(sh(`${fleetgate} ca init --offline --data data --json`, dir)) as { csr: string };
    expect(sh(`${fleetgate} ca csr --data data`, dir)).toBe(init.csr);
    const csr = sh('openssl req -in data/ca/issuing.csr -noout -verify -text 2>&1', dir);
    expect(csr).toContain('self-signature verify OK');
    expect(csr.replace(/\s+/g, ' ')).toContain('X509v3 Basic Constraints: critical CA:TRUE, pathlen:0');
    expect(csr.replace(/\s+/g, ' ')).toContain('X509v3 Key Usage: critical Certificate Sign, CRL Sign');

    const early = shell(`${fleetgate} up --data data --mqtts-port 0 --https-port 0`, dir);
    expect(early.code).toBe(1);
    expect(early.stderr).toContain('fleetgate ca import issuing.crt --root root.crt --data');

    await signed(dir);
    const imported = sh(`${fleetgate} ca import issuing.crt --root root.crt --data data --json`, dir);
    expect(JSON.parse(imported)).toMatchObject({ issuer: 'O=Plant, CN=Plant Root' });
    expect((await readdir(join(dir, 'data', 'ca'))).sort()).toEqual([
      'ca.crt',
      'issuing.crt',
      'issuing.csr',
      'issuing.key',
      'root.crt',
    ]);

    await using _house = await House.start({ dir });
    sh(
      `${fleetgate} fleets create plant --data data
       token=$(${fleetgate} tokens create plant --device pump-1 --data data --json | sed -n 's/.*"token": "\\(.*\\)".*/\\1/p')
       ${fleetgate} enroll --data data --token "$token" --device pump-1 --out out`,
      dir,
    );
    const verdict = sh(
      'openssl verify -x509_strict -purpose sslclient -CAfile root.crt -untrusted out/pump-1.crt out/pump-1.crt',
      dir,
    );
    expect(verdict).toBe('out/pump-1.crt: OK\n');
  });

  test('a certificate that cannot be the one is refused with every reason, and installs nothing', async () => {
    await using made = await folder();
    const { dir } = made;
    sh(`${fleetgate} ca init --offline --data data`, dir);
    makeRoot(dir, 'other');
    sh('openssl req -newkey rsa:2048 -nodes -keyout foreign.key -subj /CN=x -out foreign.csr 2>&1', dir);
    const refusal = async (change: Signed, root = 'root'): Promise<string> => {
      await signed(dir, change);
      const { code, stderr } = shell(
        `${fleetgate} ca import issuing.crt --root ${root}.crt --data data`,
        dir,
      );
      expect(code).toBe(1);
      return stderr;
    };
    expect(await refusal({ csr: 'foreign.csr' })).toContain('it is for another key');
    expect(await refusal({ extensions: { basicConstraints: 'critical,CA:FALSE', keyUsage: '' } })).toMatch(
      /no CA certificate.*path length is unbounded.*lacks keyCertSign/,
    );
    expect(await refusal({ extensions: { basicConstraints: 'critical,CA:TRUE' } })).toContain('unbounded');
    expect(await refusal({ extensions: { basicConstraints: 'critical,CA:TRUE,pathlen:1' } })).toContain(
      'its path length is 1',
    );
    expect(await refusal({ extensions: { keyUsage: 'critical,keyCertSign' } })).toContain('lacks');
    expect(await refusal({ root: 'other' })).toContain('its signature is not by the key of the root');
    expect(await refusal({ digest: 'sha1' })).toContain('too weak');
    expect(await refusal({ days: 0 })).toContain('it is not valid since');
    await signed(dir);
    sh('cp issuing.crt leaf-root.crt', dir);
    expect(await refusal({}, 'leaf-root')).toContain('the root is no self-signed CA certificate');
    const nameless = shell(`${fleetgate} ca import issuing.crt --data data`, dir);
    expect(nameless.stderr).toContain('name it with --root root.crt');
    await writeFile(join(dir, 'issuing.crt'), 'nothing');
    expect(shell(`${fleetgate} ca import issuing.crt --data data`, dir).stderr).toContain(
      '0 PEM certificates',
    );
    expect((await readdir(join(dir, 'data', 'ca'))).sort()).toEqual(['issuing.csr', 'issuing.key']);
  });

  test('a CA is not made over another, and its root is not exchanged; its certificate can be renewed', async () => {
    await using made = await folder();
    const { dir } = made;
    const nowhere = shell(`${fleetgate} ca csr --data data`, dir);
    expect(nowhere.stderr).toContain('fleetgate ca init --offline --data');
    sh(`${fleetgate} ca init --offline --data data`, dir);
    const again = shell(`${fleetgate} ca init --offline --data data`, dir);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('never overwritten');
    await signed(dir);
    // The root may follow in the same file.
    sh(`cat issuing.crt root.crt > chain.crt; ${fleetgate} ca import chain.crt --data data`, dir);
    const first = await readFile(join(dir, 'data', 'ca', 'issuing.crt'), 'utf8');
    makeRoot(dir, 'other');
    await signed(dir, { root: 'other' });
    const exchanged = shell(`${fleetgate} ca import issuing.crt --root other.crt --data data`, dir);
    expect(exchanged.stderr).toContain('Another root is installed');
    await signed(dir, { days: 2000 });
    sh(`${fleetgate} ca import issuing.crt --data data`, dir);
    const second = await readFile(join(dir, 'data', 'ca', 'issuing.crt'), 'utf8');
    expect(second).not.toBe(first);
    expect(await readFile(join(dir, 'data', 'ca', 'ca.crt'), 'utf8')).toContain(second);
  });

  test('a registry does not start on a key that is not the one of its certificate', async () => {
    await using made = await folder();
    const { dir } = made;
    for (const data of ['one', 'two']) sh(`${fleetgate} ca init --offline --data ${data}`, dir);
    await signed(dir, { csr: 'one/ca/issuing.csr' });
    sh(`${fleetgate} ca import issuing.crt --root root.crt --data one`, dir);
    sh('cp two/ca/issuing.key one/ca/; cp two/ca.passphrase one/', dir);
    const started = shell(`${fleetgate} up --data one --mqtts-port 0 --https-port 0`, dir);
    expect(started.code).toBe(1);
    expect(started.stderr).toContain('is not the one of');
    sh('printf "wrong\\n" > one/ca.passphrase', dir);
    const locked = shell(`${fleetgate} up --data one --mqtts-port 0 --https-port 0`, dir);
    expect(locked.stderr).toContain('is ca.passphraseFile the one it was made with?');
  });
});
