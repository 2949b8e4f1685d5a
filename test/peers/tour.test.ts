/** The tour of the README with curl, openssl and the mosquitto clients alone: enrolled, heard, refused, cut off. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { sh, shell, withPrograms } from '../harness/peer-program.ts';

withPrograms(
  ['curl', 'openssl', 'mosquitto_pub', 'mosquitto_sub'],
  'a device made of curl, openssl and mosquitto',
  () => {
    let house: House;
    let dir: string;
    /** curl with the admin token, against the registry. */
    let api: string;

    beforeAll(async () => {
      house = await House.start();
      dir = await mkdtemp(join(tmpdir(), 'tour-'));
      const { ca, adminTokenFile, registry } = house.doors;
      api = `api() { local m=$1 p=$2; shift 2; curl -sS --fail-with-body --cacert ${ca} -X $m -H "Authorization: Bearer $(cat ${adminTokenFile})" -H 'content-type: application/json' "$@" ${registry}/v1$p; }`;
      sh(`${api}; api POST /fleets -d '{"id":"plant"}'`, dir);
    });
    afterAll(async () => {
      await house[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    });

    /** Key and CSR by openssl, enrollment by curl; leaves ID.key and ID.crt. */
    const enroll = (id: string) =>
      sh(
        `${api}
       openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${id}.key -subj /CN=${id} -out ${id}.csr 2>/dev/null
       token=$(api POST /fleets/plant/tokens -d '{"deviceId":"${id}"}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')
       node -e 'console.log(JSON.stringify({deviceId:"${id}",csr:require("fs").readFileSync("${id}.csr","utf8")}))' > ${id}.json
       curl -sS --fail-with-body --cacert ${house.doors.ca} -H "Authorization: Bearer $token" -H 'content-type: application/json' --data @${id}.json ${house.doors.registry}/v1/enroll > ${id}.answer
       node -e 'const a=JSON.parse(require("fs").readFileSync("${id}.answer","utf8")); require("fs").writeFileSync("${id}.crt", a.certificate+a.chain)'`,
        dir,
      );

    const client = (program: string, id: string, rest: string) =>
      `${program} -h 127.0.0.1 -p ${house.port('mqtts')} --cafile ${house.doors.ca} --cert ${id}.crt --key ${id}.key ${rest}`;

    test('the certificate is one that openssl verifies, with the profile of a device', () => {
      enroll('pump-1');
      expect(
        sh(
          `openssl verify -purpose sslclient -CAfile ${house.doors.ca} -untrusted pump-1.crt pump-1.crt`,
          dir,
        ),
      ).toMatch(/OK/);
      const text = sh('openssl x509 -in pump-1.crt -noout -text', dir);
      expect(text).toMatch(/CA:FALSE/);
      expect(text).toMatch(/TLS Web Client Authentication/);
      expect(text).toMatch(/URI:spiffe:\/\/fleetgate\.local\/fleet\/plant\/device\/pump-1/);
    });

    for (const version of ['311', '5']) {
      test(`MQTT ${version}: it publishes, and the event is in the file`, async () => {
        const said = shell(
          client(
            'mosquitto_pub',
            'pump-1',
            `-V ${version} -i pump-1 -q 1 -t devices/pump-1/telemetry/tour -m '{"v":${version}}'`,
          ),
          dir,
        );
        expect(said).toMatchObject({ code: 0, stderr: '' });
        await eventually(async () => {
          const data = (await house.delivered()).map((event) => event.data);
          expect(data).toContainEqual({ v: Number(version) });
        });
      });

      test(`MQTT ${version}: another device's topic is refused`, async () => {
        enroll('pump-2');
        const before = (await house.delivered()).length;
        const said = shell(
          client(
            'mosquitto_pub',
            'pump-1',
            `-d -V ${version} -i pump-1 -q 1 -t devices/pump-2/telemetry -m forged`,
          ),
          dir,
        );
        if (version === '5') expect(said.stdout + said.stderr).toMatch(/not authori[sz]ed|RC:135/i);
        expect((await house.delivered()).length).toBe(before);
      });

      test(`MQTT ${version}: the right certificate with a wrong client id is refused and told so`, () => {
        const said = shell(
          client('mosquitto_pub', 'pump-1', `-V ${version} -i pump-2 -q 1 -t devices/pump-2/telemetry -m x`),
          dir,
        );
        expect(said.code).not.toBe(0);
        expect(said.stderr).toMatch(
          version === '5' ? /Client identifier not valid/i : /identifier rejected/i,
        );
      });

      test(`MQTT ${version}: a certificate of somebody else's CA is refused and told so`, () => {
        sh(
          `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout foreign.key -subj /CN=pump-1 -days 1 -out foreign.crt 2>/dev/null`,
          dir,
        );
        const said = shell(
          client('mosquitto_pub', 'foreign', `-V ${version} -i pump-1 -t devices/pump-1/telemetry -m x`),
          dir,
        );
        expect(said.code).not.toBe(0);
        expect(said.stderr).toMatch(/not authori[sz]ed/i);
      });
    }

    test('after disable it is refused, after enable it is let in again', () => {
      enroll('pump-3');
      const publish = () =>
        shell(client('mosquitto_pub', 'pump-3', '-i pump-3 -q 1 -t devices/pump-3/telemetry -m x'), dir);
      expect(publish().code).toBe(0);
      sh(`${api}; api POST /devices/pump-3/disable`, dir);
      const refused = publish();
      expect(refused.code).not.toBe(0);
      expect(refused).toMatchObject({ stderr: expect.stringMatching(/not authori/i) });
      sh(`${api}; api POST /devices/pump-3/enable`, dir);
      expect(publish().code).toBe(0);
    });

    test('a revocation ends the live connection of mosquitto_sub, and the receipt names it', async () => {
      enroll('pump-4');
      const line = client('mosquitto_sub', 'pump-4', "-d -V 5 -i pump-4 -q 1 -t 'devices/pump-4/commands/#'");
      // Its debug lines would wait in a buffer: a pipe is not a terminal.
      const listening = spawn('bash', ['-c', `exec stdbuf -oL ${line}`], { cwd: dir });
      let said = '';
      listening.stdout.on('data', (chunk) => {
        said += chunk;
      });
      await eventually(async () => expect(said).toMatch(/SUBACK/));
      const receipt = JSON.parse(
        sh(`${api}; api POST /devices/pump-4/revoke -d '{"reason":"keyCompromise"}'`, dir),
      );
      expect(receipt).toMatchObject({ complete: true, sessions: [{ protocol: 'mqtt5' }] });
      await eventually(async () => expect(said).toMatch(/DISCONNECT/));
      listening.kill();
      if (listening.exitCode === null) await once(listening, 'exit');
      const again = shell(
        client('mosquitto_pub', 'pump-4', '-V 5 -i pump-4 -t devices/pump-4/telemetry -m x'),
        dir,
      );
      expect(again.stderr).toMatch(/banned|not authori/i);
    });

    test('a backend with a client certificate and a role hears the fleet', async () => {
      enroll('ingest');
      sh(`${api}; api PATCH /devices/ingest -d '{"role":"backend"}'`, dir);
      const listening = spawn(
        'bash',
        ['-c', `exec ${client('mosquitto_sub', 'ingest', "-i ingest -q 1 -v -t 'devices/+/telemetry/#'")}`],
        {
          cwd: dir,
        },
      );
      let heard = '';
      listening.stdout.on('data', (chunk) => {
        heard += chunk;
      });
      await eventually(async () => {
        shell(
          client('mosquitto_pub', 'pump-1', '-i pump-1 -q 1 -t devices/pump-1/telemetry/live -m hello'),
          dir,
        );
        expect(heard).toMatch(/devices\/pump-1\/telemetry\/live hello/);
      });
      listening.kill();
    });

    test('over HTTPS curl posts telemetry, and reads who it is', async () => {
      const curl = `curl -sS --cacert ${house.doors.ca} --cert pump-1.crt --key pump-1.key`;
      const status = sh(
        `${curl} -o /dev/null -w '%{http_code}' --data '{"curl":1}' -H 'content-type: application/json' ${house.doors.https}/v1/telemetry/http`,
        dir,
      );
      expect(status).toBe('202');
      expect(JSON.parse(sh(`${curl} ${house.doors.https}/v1/me`, dir))).toMatchObject({
        device: 'pump-1',
        fleet: 'plant',
      });
      await eventually(async () =>
        expect((await house.delivered()).map((event) => event.data)).toContainEqual({ curl: 1 }),
      );
    });
  },
);
