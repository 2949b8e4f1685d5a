/** The tests of conformance, tested: mosquitto keeps what it is known to keep, and fails where it is known to. */

import { startMosquitto } from '../conformance/peers.ts';
import { conformance } from '../conformance/suite.ts';
import { withPrograms } from '../harness/peer-program.ts';

withPrograms(['mosquitto', 'openssl'], 'conformance of mosquitto', () =>
  conformance('mosquitto', startMosquitto),
);
