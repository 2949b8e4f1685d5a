/** Every normative statement of MQTT 3.1.1 and 5 that concerns a server, against the whole house. */

import { startFleetgate } from '../conformance/peers.ts';
import { conformance } from '../conformance/suite.ts';

conformance('Fleetgate', startFleetgate);
