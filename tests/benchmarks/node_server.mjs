// node-opcua's server as a peer, on standard input and output like the other processes of the bench.
//   node node_server.mjs notifications COUNT ITEMS_FILE FOLDER   COUNT Double variables, all set once a second
//   node node_server.mjs history COUNT ITEMS_FILE FOLDER         one variable whose in-memory historian holds COUNT values
// Writes the NodeIds into ITEMS_FILE and prints the endpoint.
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";

const require = createRequire(new URL("../interop/package.json", import.meta.url));
const { DataType, OPCUACertificateManager, OPCUAServer, SecurityPolicy, MessageSecurityMode, StatusCodes, Variant } = require("node-opcua");

const [kind, count, itemsFile, folder] = [process.argv[2], Number(process.argv[3]), process.argv[4], process.argv[5]];
console.warn = console.log = (...text) => process.stderr.write(text.join(" ") + "\n");

const manager = new OPCUACertificateManager({ rootFolder: folder, automaticallyAcceptUnknownCertificate: true });
await manager.initialize();
const server = new OPCUAServer({
  port: 0, hostname: "127.0.0.1", allowAnonymous: true, serverCertificateManager: manager,
  securityPolicies: [SecurityPolicy.None], securityModes: [MessageSecurityMode.None],
  maxConnectionsPerEndpoint: 50,
  serverCapabilities: {
    maxSessions: 50, maxMonitoredItems: 1e6, maxMonitoredItemsPerSubscription: 1e6,
    operationLimits: { maxMonitoredItemsPerCall: 10000, maxNodesPerHistoryReadData: 100, maxNodesPerRead: 10000 },
  },
});
await server.initialize();
const space = server.engine.addressSpace;
const namespace = space.getOwnNamespace();
const object = namespace.addObject({ organizedBy: space.rootFolder.objects, browseName: "Bench" });
const add = (name) => namespace.addVariable({ componentOf: object, browseName: name, nodeId: `s=${name}`, dataType: "Double", minimumSamplingInterval: 100 });

const names = [];
if (kind === "notifications") {
  const variables = Array.from({ length: count }, (_, i) => add(`v${i}`));
  names.push(...variables.map((v) => v.nodeId.toString()));
  let turn = 0;
  setInterval(() => {
    turn += 1;
    const now = new Date();
    for (const variable of variables) variable.setValueFromSource({ dataType: DataType.Double, value: turn }, StatusCodes.Good, now);
  }, 1000);
} else {
  const variable = add("h");
  space.installHistoricalDataNode(variable, { maxOnlineValues: count });
  const start = Date.now() - count * 1000;
  for (let i = 0; i < count; i++) {
    variable.setValueFromSource(new Variant({ dataType: DataType.Double, value: 700 + Math.sin(i / 100) }), StatusCodes.Good, new Date(start + i * 1000));
    if (i % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  names.push(variable.nodeId.toString());
}
writeFileSync(itemsFile, names.join("\n"));
await server.start();
const port = server.endpoints[0].port;
process.stdout.write(`opc.tcp://127.0.0.1:${port}\n`);
process.on("SIGTERM", () => process.exit(0));
