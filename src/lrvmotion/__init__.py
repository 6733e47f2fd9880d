"""lrvmotion: move running VMs between two vCenters across a long, lossy circuit, and put everything back."""
