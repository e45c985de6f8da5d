"""A script as people write them for PyTorch; nothing in it knows of rushlight."""

import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, Dataset

device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)


class Noise(Dataset):
    def __init__(self):
        self.images = np.random.RandomState(0).randn(48, 1, 32, 32).astype("float32")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return torch.from_numpy(self.images[index]), index % 10


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


net = LeNet().to(device)
for m in net.modules():
    if isinstance(m, nn.Conv2d):
        nn.init.kaiming_normal_(m.weight)
        nn.init.constant_(m.bias, 0.1)
print(net)
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(
    [{"params": net.fc3.parameters(), "lr": 0.05}, {"params": [p for n, p in net.named_parameters() if "fc3" not in n]}],
    lr=0.01,
    momentum=0.9,
)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
for epoch in range(2):
    net.train()
    running = 0.0
    for images, labels in DataLoader(Noise(), batch_size=16, shuffle=True, num_workers=1):
        optimizer.zero_grad()
        loss = criterion(net(images.to(device)), labels.to(device))
        loss.backward()
        clip_grad_norm_(net.parameters(), max_norm=1.0)
        optimizer.step()
        running += loss.item() * images.size(0)
    scheduler.step()
    print("epoch {} loss {:.4f} lr {}".format(epoch, running / 48, [g["lr"] for g in optimizer.param_groups]))
torch.save(net, sys.argv[1])
again = torch.load(sys.argv[1], weights_only=False)
net.eval()
again.eval()
with torch.no_grad():
    x = torch.ones(1, 1, 32, 32)
    print(torch.equal(net(x), again(x)), net(x).argmax(1), net.fc3.bias[:3] * 0)
