// Loads the NodeSet file of the types beside the standard one and prints its nodes as JSON.
import { writeFileSync } from "node:fs";
import { AddressSpace, NodeClass, nodesets } from "node-opcua";
import { generateAddressSpace } from "node-opcua-address-space/nodeJS.js";

console.warn = console.log = (...text) => process.stderr.write(text.join(" ") + "\n");
const space = AddressSpace.create();
await generateAddressSpace(space, [nodesets.standard, process.argv[2]]);
const index = space.getNamespaceIndex("urn:gridbms:types");
const out = [];
for (const node of space.getNamespace(index).nodeIterator()) {
  const row = {
    id: node.nodeId.value, class: NodeClass[node.nodeClass], name: `${node.browseName.namespaceIndex === index ? 2 : node.browseName.namespaceIndex}:${node.browseName.name}`,
    display: node.displayName[0]?.text ?? "", description: node.description?.text ?? "",
    references: node.allReferences().map((r) => [r.referenceType.toString().replace(`ns=${index}`, "ns=2"), r.isForward, r.nodeId.toString().replace(`ns=${index}`, "ns=2")]).sort(),
  };
  if (node.nodeClass === NodeClass.Variable) { row.dataType = node.dataType.toString().replace(`ns=${index}`, "ns=2"); row.rank = node.valueRank; }
  out.push(row);
}
writeFileSync(1, JSON.stringify(out));
space.dispose();
process.exit(0);
