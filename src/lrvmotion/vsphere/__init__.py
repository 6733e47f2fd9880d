"""The vSphere side: sessions, inventories, hosts as targets, relocates. pyVmomi appears here and in the lab only."""
